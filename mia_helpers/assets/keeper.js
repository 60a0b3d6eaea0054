// JupyterLab keeps what widgets show in a saved notebook only if it is told to, and has no public way to tell it from here.
// Where this way is not there, a notebook that is opened again shows "model not found" until its cells are run.
function initialize({ model }) {
  const settings = model.widget_manager?._settings;
  if (settings) settings.saveState = true;
}

export default { initialize };
