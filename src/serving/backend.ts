import { openModel } from './load.ts'
import type { LoadOptions, OpenModel } from './load.ts'

/** Source of a variant's answers: instances of a model on this machine, or an ensemble of other endpoints (`ensemble/`); later a server elsewhere. */
export interface Backend {
  /**
   * Makes a variant able to run, and finds out its properties.
   * @throws why the variant cannot be served; then nothing is left open
   */
  open(options: LoadOptions): Promise<OpenModel>
}

/** Loaded copies of the model: inline, in threads, in processes. */
export const instances: Backend = { open: openModel }
