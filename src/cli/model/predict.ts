import { readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { loadModel } from '../../library/load-model.ts'
import { readRequest } from '../../signature/request.ts'
import { toJson } from '../../tensor/json-writer.ts'
import { print } from '../output.ts'
import type { Command } from 'commander'

const TYPES: Readonly<Record<string, string>> = {
  '.json': 'application/json',
  '.csv': 'text/csv',
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
}

export function define(command: Command): void {
  command
    .argument('<model>', 'model file or folder')
    .option('-i, --input <file>', 'JSON, CSV, PNG or JPEG; - is standard input', '-')
    .option('--type <type>', 'content type of the input, where its name does not tell')
    .option('--sandbox-python <path>', 'interpreter with scikit-learn, in which a model that is a pickle runs confined')
    .option('--json', 'print one JSON document; otherwise a list is printed one answer a line')
    .addHelpText(
      'after',
      '\nExamples:\n  slipway predict examples/churn --input examples/churn/customers.csv\n  echo \'{"user": 3, "items": [1, 2, 3]}\' | slipway predict examples/recommend\n  slipway predict examples/digits --input examples/digits/digit-3.png',
    )
    .action(async (path: string, options: { input: string; type?: string; sandboxPython?: string; json?: boolean }) => {
      const body = options.input === '-' ? await readStandardInput() : await readInput(options.input)
      await using model = await loadModel(path, { instances: 1, sandboxPython: options.sandboxPython })
      const request = readRequest(body, options.type ?? TYPES[extname(options.input).toLowerCase()], model.signature)
      if (request.pictures !== undefined) {
        const answers = await Promise.all(request.pictures.map((picture) => model.predict(picture.bytes)))
        show(request.many ? answers : answers[0], options.json === true)
      } else show(await model.predict(request.many ? request.rows : request.rows[0]), options.json === true)
    })
}

function show(answers: unknown, json: boolean): void {
  if (json || !Array.isArray(answers)) print(toJson(answers))
  else for (const answer of answers) print(toJson(answer))
}

async function readInput(path: string): Promise<Buffer> {
  return readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new SlipwayError('SLW_PATH_NOT_FOUND', `--input ${path}: ${error.code === 'ENOENT' ? 'no such file' : error.message}`)
  })
}

async function readStandardInput(): Promise<Buffer> {
  if (process.stdin.isTTY) throw new SlipwayError('SLW_USAGE', 'no input: give --input FILE, or pipe JSON in')
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}
