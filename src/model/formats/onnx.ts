import { readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { inspectOnnx } from '../../onnx/inspect.ts'
import { PACKAGE_FILE } from '../package-file.ts'
import { locatedByDocument } from './located.ts'
import type { OnnxModel } from '../../onnx/inspect.ts'
import type { Candidate, ModelFile, ModelFormat } from './format.ts'

const isOnnx = (name: string): boolean => name.endsWith('.onnx') && !name.startsWith('.')

/** Where models on the Hub of Hugging Face lie, below the files that describe them. */
export const HUB_MODEL = 'onnx/model.onnx'
const HUB_FILES = ['config.json', 'tokenizer.json']

/** Whether files of these names, in the folder of {@link HUB_MODEL}, say what it is. */
export function describesHubModel(names: readonly string[]): boolean {
  return HUB_FILES.some((name) => names.includes(name)) && !names.some(isOnnx)
}

/** Whether a folder is laid out as models on the Hub are. */
export async function isHubFolder(names: readonly string[], folder: string): Promise<boolean> {
  if (!names.includes('onnx') || !describesHubModel(names)) return false
  return (await stat(join(folder, HUB_MODEL)).catch(() => undefined))?.isFile() === true
}

/** An ONNX graph, and data beside it. The fallback for packages that no other format recognises: its errors name what is missing. */
export const onnx: ModelFormat = {
  name: 'ONNX',
  extensions: ['.onnx'],
  holds: async (names, folder) => names.filter(isOnnx).length === 1 || (await isHubFolder(names, folder)),
  isFile: async (path) => isOnnx(basename(path)),
  recognises: () => true,
  locate,
  read: async (path) => fileOf(await inspectOnnx(path)),
}

async function locate({ folder, document }: Candidate): Promise<string> {
  if (document.model !== undefined) return await locatedByDocument(folder, document.model)
  const names = await readdir(folder)
  if (await isHubFolder(names, folder)) return join(folder, HUB_MODEL)
  const found = names.filter(isOnnx)
  if (found.length === 1 && found[0] !== undefined) {
    const path = join(folder, found[0])
    // Triton's folders of models that lie in several files.
    return (await stat(path)).isDirectory() ? join(path, 'model.onnx') : path
  }
  throw new SlipwayError(
    'SLW_PACKAGE_INVALID',
    found.length === 0
      ? `${folder}: no .onnx file`
      : `${folder}: ${found.length} .onnx files (${found.join(', ')}); name one with "model:" in ${PACKAGE_FILE}`,
  )
}

function fileOf(model: OnnxModel): ModelFile {
  const {
    inputs,
    outputs,
    classLabels,
    rewrite,
    rowCoupling,
    openEnded,
    rewrittenBytes,
    externalFiles,
    opsets,
    parameterCount,
    producer,
    operators,
  } = model
  const opset = opsets.map(({ domain, version }) => `${domain} ${version}`).join(', ')
  return {
    format: 'onnx',
    platform: 'onnxruntime_onnx',
    inputs,
    outputs,
    classLabels,
    rewrite,
    rowCoupling,
    openEnded,
    rewrittenBytes,
    externalFiles,
    describedBy: [],
    python: undefined,
    summary: `ONNX with the operators of ${opset}, ${parameterCount} parameters`,
    about: {
      producer: producer === '' ? 'unknown' : producer,
      opset,
      parameters: parameterCount,
      operators: Object.entries(operators)
        .toSorted(([, a], [, b]) => b - a)
        .map(([name, count]) => `${name} x${count}`)
        .join(', '),
    },
  }
}
