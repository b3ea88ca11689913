import { readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { inspectOnnx } from '../../onnx/inspect.ts'
import { PACKAGE_FILE } from '../package-file.ts'
import { locatedByDocument } from './located.ts'
import type { OnnxModel } from '../../onnx/inspect.ts'
import type { Candidate, ModelFile, ModelFormat } from './format.ts'

const isOnnx = (name: string): boolean => name.endsWith('.onnx') && !name.startsWith('.')

/** An ONNX graph, and data beside it. The fallback for packages that no other format recognises: its errors name what is missing. */
export const onnx: ModelFormat = {
  name: 'ONNX',
  extensions: ['.onnx'],
  holds: (names) => names.filter(isOnnx).length === 1,
  isFile: async (path) => isOnnx(basename(path)),
  recognises: () => true,
  locate,
  read: async (path) => fileOf(await inspectOnnx(path)),
}

async function locate({ folder, document }: Candidate): Promise<string> {
  if (document.model !== undefined) return await locatedByDocument(folder, document.model)
  const found = (await readdir(folder)).filter(isOnnx)
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
