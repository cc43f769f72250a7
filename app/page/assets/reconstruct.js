// Reconstruct works once there is a picture.
const pictured = () => document.querySelector('#slots [id^=image-] img');
const tell = () => explorer.need('reconstruct', pictured() ? '' : 'Drop a picture above first, or choose one to try.');
new MutationObserver(tell).observe(document.getElementById('panel'), {childList: true, subtree: true});
tell();
