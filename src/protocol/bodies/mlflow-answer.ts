/** Answers of MLflow's scoring server, in the shapes that it gives for models of ONNX and of scikit-learn. */
import { elementTexts, nestedJson, nestTexts } from '../../tensor/nested-json.ts'
import { elementCount } from '../../tensor/tensor.ts'
import type { Signature } from '../../signature/signature.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { Written } from './types.ts'

export interface MlflowAnswer {
  readonly signature: Signature
  readonly outputs: readonly Tensor[]
  readonly rows: number
  /** Whether a table was asked, so that a table is answered. */
  readonly table: boolean
}

export function writeMlflow(answer: MlflowAnswer): Written {
  return { body: `{"predictions": ${predictionsOf(answer)}}`, headerLength: undefined }
}

function predictionsOf({ signature, outputs, rows, table }: MlflowAnswer): string {
  const [only] = outputs
  // A model of scikit-learn answers with one array; one of ONNX with its outputs by name.
  if (signature.platform !== 'onnxruntime_onnx' && only !== undefined && outputs.length === 1) return nestedJson(only)
  const columns = outputs.map((tensor) => columnOf(tensor, signature))
  if (!table) return objectOf(columns.map(({ name, whole }) => [name, whole]))
  // MLflow makes one column of each output, whatever its shape, and fails where they then differ in length. Here rows stay rows.
  const same = columns.every(({ flat }) => flat.length === columns[0]!.flat.length)
  const cells = columns.map(({ name, flat, perRow }) => ({ name, cells: same ? flat : perRow(rows) }))
  const count = cells[0]?.cells.length ?? 0
  const records = Array.from({ length: count }, (_, row) => objectOf(cells.map((column) => [column.name, column.cells[row] ?? 'null'])))
  return `[${records.join(', ')}]`
}

interface Column {
  readonly name: string
  /** The output as arrays. */
  readonly whole: string
  /** Its values, one after the other. */
  readonly flat: readonly string[]
  readonly perRow: (rows: number) => readonly string[]
}

function columnOf(tensor: Tensor, { maps }: Signature): Column {
  const { name, shape } = tensor
  const texts = elementTexts(tensor)
  const labels = maps.get(name)
  if (labels === undefined)
    return {
      name,
      whole: nestTexts(texts, shape),
      flat: texts,
      perRow: (rows) => {
        const width = elementCount(shape) / rows
        return Array.from({ length: rows }, (_, row) => nestTexts(texts.slice(row * width, (row + 1) * width), shape.slice(1)))
      },
    }
  const objects = Array.from({ length: texts.length / labels.length }, (_, row) =>
    objectOf(labels.map((label, index) => [String(label), texts[row * labels.length + index]!])),
  )
  return { name, whole: `[${objects.join(', ')}]`, flat: objects, perRow: () => objects }
}

function objectOf(members: readonly (readonly [name: string, text: string])[]): string {
  return `{${members.map(([name, text]) => `${JSON.stringify(name)}: ${text}`).join(', ')}}`
}
