// Pictures may be dropped anywhere, also on the view: they go into the empty boxes and never take the page's place.
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
    const empty = boxes.filter((one) => !filled(one));
    if (!empty.length) return explorer.say('All four boxes hold a picture; remove one first.');
    if (files.length > empty.length)
      explorer.say(`Found ${files.length} pictures for ${empty.length} empty boxes; the first ${empty.length} were taken.`);
    for (const [number, file] of files.slice(0, empty.length).entries()) await put(file, empty[number]);
  };

  // One at a time: a box that is not shown does not take a file.
  async function put(file, place) {
    const input = await shown(place);
    if (!input) return;
    const given = new DataTransfer();
    given.items.add(file);
    input.files = given.files;
    input.dispatchEvent(new Event('change', {bubbles: true}));
    for (let waited = 0; !filled(place) && waited < 10_000; waited += 50)
      await new Promise((done) => setTimeout(done, 50));
  }
}
