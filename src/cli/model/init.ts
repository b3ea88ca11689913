import { existsSync } from 'node:fs'
import { stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { packageRoot } from '../../core/entry.ts'
import { findPackages } from '../../model/layout.ts'
import { PACKAGE_FILE } from '../../model/package-file.ts'
import { readPackage } from '../../model/package.ts'
import { isFloat } from '../../tensor/datatype.ts'
import { print } from '../output.ts'
import type { Command } from 'commander'
import type { FeatureSpec } from '../../contract/model-package.ts'
import type { ModelFile } from '../../signature/signature.ts'

export function define(command: Command): void {
  command
    .argument('[model]', 'a model file, or a folder with one. Default: the current folder', '.')
    .option('--force', 'overwrite an existing slipway.yaml')
    .action(async (path: string, options: { force?: boolean }) => {
      const [location] = await findPackages({ path, versions: 'latest' })
      if (location === undefined) throw new SlipwayError('SLW_PATH_NOT_FOUND', `${path}: no model here`)
      const folder = (await stat(location.path)).isFile() ? dirname(location.path) : location.path
      const target = join(folder, PACKAGE_FILE)
      if (existsSync(target) && options.force !== true) throw new SlipwayError('SLW_USAGE', `${target} exists; --force overwrites it`)
      const model = await readPackage(location)
      await writeFile(target, document(model.name, basename(model.modelPath), model.file))
      print(`wrote ${target}\nnext: edit it, then  slipway serve ${folder}`)
    })
}

/** Columns beyond which a list of all is of no use to anybody. */
const COLUMNS_MAX = 64

/** A feature that a person may send, as the file has it. */
interface Column {
  readonly name: string
  readonly type: 'number' | 'integer' | 'boolean' | 'string'
  /** The input tensor that takes it, where that is not the only one, or of its name. */
  readonly input?: string
}

type Input = ModelFile['inputs'][number]

function typeOf({ datatype }: Input): Column['type'] {
  if (datatype === 'BYTES') return 'string'
  if (datatype === 'BOOL') return 'boolean'
  return isFloat(datatype) ? 'number' : 'integer'
}

/** Values in a row of an input; undefined where the file does not say, or a row is no list. */
function widthOf({ shape, anyRank }: Input): number | undefined {
  const row = shape.slice(1)
  if (anyRank === true || shape[0] !== -1 || row.length > 1) return undefined
  return row[0] === -1 ? undefined : (row[0] ?? 1)
}

/** Columns of all inputs, named after them; undefined where a row cannot be written as columns. */
function columnsOf({ inputs }: ModelFile): Column[] | undefined {
  const widths = inputs.map(widthOf)
  const sum = widths.reduce<number>((total, width) => total + (width ?? 0), 0)
  if (widths.includes(undefined) || sum === 0 || sum > COLUMNS_MAX) return undefined
  return inputs.flatMap((input, index) => {
    const width = widths[index]!
    if (width === 1) return [{ name: input.name, type: typeOf(input) }]
    const of = inputs.length > 1 ? { input: input.name } : {}
    const prefix = inputs.length > 1 ? input.name : 'column'
    return Array.from({ length: width }, (_, column) => ({ name: `${prefix}_${column + 1}`, type: typeOf(input), ...of }))
  })
}

const SAMPLES: Readonly<Record<FeatureSpec['type'], string>> = {
  number: '0.5',
  integer: '1',
  boolean: 'true',
  string: 'text',
  category: 'text',
}

function sampleOf({ type, categories }: FeatureSpec): string {
  return categories?.[0] === undefined ? SAMPLES[type] : JSON.stringify(categories[0])
}

/** A name or text as YAML takes it in a flow mapping. */
function plain(text: string): string {
  return /^[A-Za-z_][\w.-]*$/.test(text) && !/^(?:true|false|null|yes|no|on|off|nan|inf)$/i.test(text) ? text : JSON.stringify(text)
}

/** A slipway.yaml with the facts of the model file, and everything that a person may add as comments. */
function document(name: string, fileName: string, file: ModelFile): string {
  const columns = columnsOf(file)
  const tensor = (spec: Input): string =>
    `#   ${spec.name}: ${spec.datatype} [${spec.shape.map((dim, index) => (dim === -1 ? (spec.dimensionNames[index] ?? 'any') : dim)).join(', ')}]`
  const labels = file.rewrite.labels.values().next().value ?? file.classLabels
  // Columns have names of their own in the file where each has an input: they need no person to name them.
  const named = file.features !== undefined || (columns !== undefined && columns.length === file.inputs.length && file.inputs.length > 1)
  const mark = named ? '' : '# '
  const features: readonly FeatureSpec[] = file.features ??
    columns ?? [
      { name: 'tenure', type: 'integer' },
      { name: 'discount', type: 'number' },
    ]
  const feature = ({ name: column, type, input, categories, ...rest }: FeatureSpec): string => {
    const facts = Object.entries({ ...rest, ...(input !== undefined && { input }) }).map(
      ([key, value]) => `, ${key}: ${plain(String(value))}`,
    )
    const listed = categories === undefined ? '' : `, categories: ${JSON.stringify(categories)}`
    return `${mark}  - { name: ${plain(column)}, type: ${type}${listed}${facts.join('')} }`
  }
  const row = `{ ${features.map((column) => `${plain(column.name)}: ${sampleOf(column)}`).join(', ')} }`
  return `# yaml-language-server: $schema=${join(packageRoot(), 'docs/reference/slipway.schema.json')}
apiVersion: slipway/v1
kind: Model
name: ${name}
model: ${fileName}
# description: What it predicts, trained on what.

# The file says:
# inputs
${file.inputs.map(tensor).join('\n')}
# outputs
${file.outputs.map(tensor).join('\n')}

# Named columns, in the order of the input tensor. With them clients send ${row} and every wrong value is named.
# A column may also have limits (minimum: 0, maximum: 120), a default, a unit, or be one of a list:
#   - { name: plan, type: category, categories: [basic, plus, pro] }   # three columns, one-hot
${mark}features:
${features.map(feature).join('\n')}

# A model of pictures instead takes PNG and JPEG:
# image: { width: 224, height: 224, layout: nchw, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }

# How tensors become an answer.
${labels === undefined ? '# answer:\n#   task: classification      # classification, regression, ranking, tensors\n#   labels: [stays, churn]\n#   activation: softmax       # where the model gives raw scores' : `answer:\n  task: classification\n  labels: ${JSON.stringify(labels)}   # found in the file`}

# Rows that show what to send: used by /docs, warm-up and the probe.
# examples:
#   - ${row}

# Checked at every load; a version that fails is not served.
# golden:
#   - input: ${row}
#     expect: { prediction: ${labels?.[0] === undefined ? 'stays' : JSON.stringify(labels[0])} }
#     tolerance: 0.001

# Defaults of serving; not part of the model's digest, and under what the server says.
# serving: { maxBatchSize: 32 }
`
}
