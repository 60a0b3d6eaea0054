// JupyterLab keeps what widgets show in a saved notebook only if its setting "Save Widget State Automatically" is on, and has no
// public way to say so from here. This turns it on for the page that is open and stores nothing. Where this way is not there, a
// notebook that is opened again shows "model not found" until its cells are run.
function initialize({ model }) {
  const settings = model.widget_manager?._settings;
  if (settings) settings.saveState = true;
}

export default { initialize };
