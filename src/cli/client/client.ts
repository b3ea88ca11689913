import { writeFile } from 'node:fs/promises'
import { SlipwayError } from '../../core/errors.ts'
import { print } from '../output.ts'
import { serverKey, withServerCredentials } from '../server/server-client.ts'
import { shapeOfFile, shapeOfServer } from './model-shape.ts'
import { pythonClient } from './python.ts'
import { typescriptClient } from './typescript.ts'
import type { Command } from 'commander'
import type { ServerCredentials } from '../server/server-client.ts'
import type { ModelShape } from './model-shape.ts'

const LANGUAGES: Readonly<Record<string, (model: ModelShape) => string>> = { typescript: typescriptClient, python: pythonClient }

interface GenerateOptions extends ServerCredentials {
  readonly language: string
  readonly out?: string
  readonly model?: string
  readonly sandboxPython?: string
}

export function define(command: Command): void {
  withServerCredentials(command.command('generate').description('write the types of a model, for the client in your language'))
    .argument('<source>', 'model file or folder, or URL of a running server (http://127.0.0.1:8470)')
    .requiredOption('--language <language>', Object.keys(LANGUAGES).join(' or '))
    .option('--out <file>', 'file to write. Default: standard output')
    .option('--model <name>', 'which model of the server; of a file, what servers call it')
    .option('--sandbox-python <path>', 'interpreter with scikit-learn, in which models that are pickles run confined')
    .addHelpText(
      'after',
      '\nWrites one module: the type of a row with names, categories and what may be left out, the type of an answer, and a function\nthat makes the client of the model. Keep it in your repository and write it again when the model changes.\n\nExamples:\n  slipway client generate examples/churn --language typescript --out churn.ts\n  slipway client generate http://127.0.0.1:8470 --model churn --language python --out churn.py',
    )
    .action(async (source: string, options: GenerateOptions) => {
      const write = Object.hasOwn(LANGUAGES, options.language) ? LANGUAGES[options.language] : undefined
      if (write === undefined)
        throw new SlipwayError('SLW_USAGE', `--language ${options.language}: expected ${Object.keys(LANGUAGES).join(' or ')}`)
      const text = write(await shapeOf(source, options))
      if (options.out === undefined) print(text.trimEnd())
      else {
        await writeFile(options.out, text)
        print(`wrote ${options.out}`)
      }
    })
}

async function shapeOf(source: string, options: GenerateOptions): Promise<ModelShape> {
  if (/^https?:\/\//.test(source)) return await shapeOfServer(source, options.model, await serverKey(options))
  const shape = await shapeOfFile(source, options.sandboxPython)
  return { ...shape, name: options.model ?? shape.name }
}
