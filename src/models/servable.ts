import type { Inspection } from '../contract/inspection.ts'
import type { Scope } from '../ledger/scope.ts'
import type { TreeFile } from '../files/file-trees.ts'

/**
 * Inspects the files of a version on behalf of somebody; long inspections of different actors take turns.
 * @param files undefined if they are not in this registry
 * @param anew inspects files again whose inspection is known. Default: returns the known one
 * @throws SLW_CANCELLED where nobody waits for it any more
 */
export type Inspect = (
  files: readonly TreeFile[] | undefined,
  scope: Pick<Scope, 'actor' | 'signal'>,
  anew?: boolean,
) => Promise<Inspection>

/** Endings of files that run code when they are loaded, with the kinds of these files. */
const CODE: readonly (readonly [ending: RegExp, what: string])[] = [
  [/\.(pkl|pickle|cloudpickle)$/i, 'a pickle'],
  [/\.joblib$/i, 'a joblib pickle'],
  [/\.skops$/i, 'a skops archive of scikit-learn'],
  [/\.(pt|pth|bin|ckpt)$/i, 'a PyTorch checkpoint'],
  [/\.(h5|keras)$/i, 'a Keras model'],
]

/** The kind of a file by its name, if it runs code when it is loaded. */
export function codeByName(path: string): string | undefined {
  return CODE.find(([ending]) => ending.test(path))?.[1]
}

export function runsCode(path: string, what: string): string {
  return `${path} is ${what}, which runs code when it is loaded; convert the model to ONNX and register that`
}

/** Judges a version by the names of its files alone, without reading them. */
export function judgeByNames(files: readonly TreeFile[] | undefined): Inspection {
  const refuse = (reason: string): Inspection => ({ servable: false, reason, scan: [{ check: 'content', passed: false, detail: reason }] })
  if (files === undefined)
    return refuse(
      'its files are not with this registry, so that no server can take them from here; slipway model fetch copies in what lies on s3://',
    )
  if (files.length === 0) return refuse('it has no files')
  if (files.some(({ path }) => path.toLowerCase().endsWith('.onnx'))) return { servable: true, scan: [] }
  for (const { path } of files) {
    const what = codeByName(path)
    if (what !== undefined) return refuse(runsCode(path, what))
  }
  return refuse('it has no model.onnx')
}
