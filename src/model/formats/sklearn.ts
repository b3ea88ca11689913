import { readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { MLMODEL_BYTES_MAX, MLMODEL_FILE, readPythonModel } from './mlmodel.ts'
import type { Candidate, ModelFile, ModelFormat } from './format.ts'
import type { PythonModel } from './mlmodel.ts'

/** A scikit-learn model in a folder written by MLflow: described, and not opened. */
export const sklearn: ModelFormat = {
  name: 'scikit-learn, as MLflow writes it',
  extensions: [],
  isFile: async () => false,
  holds: (names) => names.includes(MLMODEL_FILE),
  recognises: ({ names, document }) =>
    names.includes(MLMODEL_FILE) && document.model?.endsWith('.onnx') !== true && !names.some((name) => name.endsWith('.onnx')),
  locate,
  read: async (path) => fileOf(await described(dirname(path))),
}

async function locate({ folder, names }: Candidate): Promise<string> {
  const { file } = await described(folder)
  if (names.includes(file)) return join(folder, file)
  throw new SlipwayError('SLW_PACKAGE_INVALID', `${folder}: ${file}, which ${MLMODEL_FILE} names, is not there`)
}

async function described(folder: string): Promise<PythonModel> {
  const path = join(folder, MLMODEL_FILE)
  const { size } = await stat(path)
  if (size > MLMODEL_BYTES_MAX) throw new SlipwayError('SLW_PACKAGE_INVALID', `${path}: ${size} bytes; MLflow writes a few thousand`)
  return readPythonModel(await readFile(path, 'utf8'))
}

function fileOf({ format, method, columns, sklearnVersion, inputs, outputs }: PythonModel): ModelFile {
  return {
    format,
    platform: `sklearn_${format}`,
    inputs,
    outputs,
    classLabels: undefined,
    rewrite: { changes: [], labels: new Map(), defaults: new Map() },
    rewrittenBytes: undefined,
    rowCoupling: undefined,
    openEnded: { duration: undefined, end: undefined, size: undefined, trap: undefined },
    externalFiles: [],
    describedBy: [MLMODEL_FILE],
    python: { format, method, columns, sklearnVersion },
    summary: `${format === 'skops' ? 'a skops archive' : 'a pickle'} of scikit-learn ${sklearnVersion}`,
    about: { producer: `scikit-learn ${sklearnVersion}`, format },
  }
}
