// A picture may be dropped anywhere, also on the view: it goes into the first empty box and never takes the page's place.
{
  const page = window.explorer ? window : parent;
  addEventListener('dragover', (event) => event.preventDefault());
  addEventListener('drop', (event) => {
    if (event.defaultPrevented) return;
    event.preventDefault();
    const files = [...event.dataTransfer.files];
    if (files.length) page.explorer.takePictures(files);
  });

  const boxes = [1, 2, 3, 4];
  const filled = (place) => document.querySelector(`#image-${place} img`);
  const entry = (place) => document.querySelector(`#image-${place} input[type=file]`);

  async function shown(place) {
    document.getElementById('tab-reconstruct-button')?.click();
    document.getElementById(`slot-${place}-button`)?.click();
    for (let waited = 0; !entry(place) && waited < 2000; waited += 50)
      await new Promise((done) => setTimeout(done, 50));
    return entry(place);
  }

  if (page === window) window.explorer.takePictures = async (files) => {
    if (!document.getElementById('slots')) return explorer.say('The panel is still opening; drop the picture again.');
    const place = boxes.find((one) => !filled(one));
    if (!place) return explorer.say('All four boxes hold a picture; remove one first.');
    const input = await shown(place);
    if (!input) return;
    const given = new DataTransfer();
    given.items.add(files[0]);
    input.files = given.files;
    input.dispatchEvent(new Event('change', {bubbles: true}));
  };
}
