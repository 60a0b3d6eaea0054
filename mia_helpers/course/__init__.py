"""What exists only for the lessons: checkpoints, exercises, sliders, made-up patients, the classic models."""
