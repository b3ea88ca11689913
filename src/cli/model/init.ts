import { existsSync } from 'node:fs'
import { stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { packageRoot } from '../../core/entry.ts'
import { findPackages } from '../../model/layout.ts'
import { PACKAGE_FILE } from '../../model/package-file.ts'
import { readPackage } from '../../model/package.ts'
import { print } from '../output.ts'
import type { Command } from 'commander'
import type { ModelFile } from '../../signature/signature.ts'

export function define(command: Command): void {
  command
    .argument('[model]', 'an .onnx file, or a folder with one. Default: the current folder', '.')
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

/** A slipway.yaml with the facts of the model file, and everything that a person may add as comments. */
function document(name: string, fileName: string, file: ModelFile): string {
  const [first] = file.inputs
  const width = file.inputs.length === 1 && first?.shape.length === 2 && (first.shape[1] ?? -1) > 0 ? first.shape[1]! : undefined
  const tensor = (spec: ModelFile['inputs'][number]): string =>
    `#   ${spec.name}: ${spec.datatype} [${spec.shape.map((dim, index) => (dim === -1 ? (spec.dimensionNames[index] ?? 'any') : dim)).join(', ')}]`
  const labels = file.rewrite.labels.values().next().value ?? file.classLabels
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

# Named columns, in the order of the input tensor${width === undefined ? '' : ` (it has ${width})`}. With them clients send
# {"tenure": 12, "plan": "pro"} and every wrong value is named.
# features:
#   - { name: tenure, type: integer, minimum: 0, maximum: 120, unit: months }
#   - { name: plan, type: category, categories: [basic, plus, pro] }   # three columns, one-hot
#   - { name: discount, type: number, default: 0 }

# A model of pictures instead takes PNG and JPEG:
# image: { width: 224, height: 224, layout: nchw, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }

# How tensors become an answer.
${labels === undefined ? '# answer:\n#   task: classification      # classification, regression, ranking, tensors\n#   labels: [stays, churn]' : `answer:\n  task: classification\n  labels: ${JSON.stringify(labels)}   # found in the file`}

# Rows that show what to send: used by /docs, warm-up and the probe.
# examples:
#   - { tenure: 12, plan: pro, discount: 0 }

# Checked at every load; a version that fails is not served.
# golden:
#   - input: { tenure: 12, plan: pro, discount: 0 }
#     expect: { prediction: stays }
#     tolerance: 0.001

# Defaults of serving; not part of the model's digest, and under what the server says.
# serving: { maxBatchSize: 32 }
`
}
