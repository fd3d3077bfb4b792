// The package has no types for this entry.
declare module 'msgpackr/index-no-eval' {
  export { Packr } from 'msgpackr';
}
