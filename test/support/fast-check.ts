import fc from 'fast-check';

// By default a list ends at a dozen, whatever most it may have: too few steps for a model.
fc.configureGlobal({ baseSize: 'medium' });

export { fc };
