/** What `slipway client generate` writes: the same from a folder and from a server, and as strict as the model. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { pythonEnv } from '../../scripts/python-env.ts'
import { startServer } from '../../src/server/start-server.ts'
import { slipway } from '../cli/slipway.ts'
import { example, ROOT } from '../fixtures.ts'
import { linearModel } from '../onnx/build-model.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const LANGUAGES = [
  ['typescript', 'ts'],
  ['python', 'py'],
] as const

/** Names that are none in either language, and texts that would end a comment. */
const ODD = `features:
  - { name: class, type: category, categories: [1, 2.5, two], encode: index, description: 'Ends */ here, and """ here, and C:\\\\new' }
  - { name: "2nd value's", type: number, default: null, nan: off }
answer: { task: regression }
examples: [{ class: 1, "2nd value's": 3 }]
`

const USE_TS = `
import { connect } from 'slipway/client'
import { churnModel } from './churn.ts'
import { digitsModel } from './digits.ts'
import { oddOnesModel } from './odd.ts'
import { recommendModel } from './recommend.ts'
import type { ChurnRow } from './churn.ts'

const client = connect(process.argv[2] ?? '')
const churn = churnModel(client, { fallback: (_, { plan }) => ({ prediction: 'stays', confidence: plan === 'pro' ? 1 : null, probabilities: { stays: 1, churn: 0 } }) })
const row: ChurnRow = { tenure_months: 2, monthly_charges: 95.5, support_calls: 6, plan: 'basic', contract: 'month-to-month', paperless: true }
const { answer } = await churn.predict(row)
const said: 'stays' | 'churn' = answer.prediction
const [first] = (await recommendModel(client).predict({ user: 3, items: [1, 2n, 3] })).answer.prediction
const odd = await oddOnesModel(client).predict({ class: 2.5, "2nd value's": 3 as number | null })
const many = await churn.predictMany([row])
console.log(said, many.answer[0]?.probabilities.churn, first?.item, odd.answer.prediction)

export function wrong(): void {
// @ts-expect-error a category that there is not
row satisfies ChurnRow & { plan: 'gold' }
// @ts-expect-error tenure_months is missing
void churn.predict({ monthly_charges: 1, plan: 'pro', contract: 'one-year' })
// @ts-expect-error a name that there is not
void churn.predict({ ...row, tenure: 1 })
// @ts-expect-error no number
void digitsModel(client).predict({ image: 3 })
// @ts-expect-error no class of it
churnModel(client, { fallback: { prediction: 'leaves', confidence: 1, probabilities: { stays: 0, churn: 1 } } })
}
`

const TSCONFIG = {
  compilerOptions: {
    target: 'esnext',
    module: 'nodenext',
    lib: ['esnext', 'dom'],
    types: ['node'],
    typeRoots: [join(ROOT, 'node_modules/@types')],
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    noPropertyAccessFromIndexSignature: true,
    verbatimModuleSyntax: true,
    allowImportingTsExtensions: true,
    skipLibCheck: true,
    noEmit: true,
    paths: { 'slipway/client': [join(ROOT, 'src/client/index.ts')] },
  },
  files: ['use.ts'],
}

const USE_PY = `
import sys
from slipway_client import connect
from churn import ChurnRow, churn_model
from odd import odd_ones_model
from recommend import recommend_model

client = connect(sys.argv[1])
churn = churn_model(client, fallback={"prediction": "stays", "confidence": None, "probabilities": {"stays": 1, "churn": 0}})
row: ChurnRow = {"tenure_months": 2, "monthly_charges": 95.5, "support_calls": 6, "plan": "basic", "contract": "month-to-month", "paperless": True}
answer = churn.predict(row).answer
first = recommend_model(client).predict({"user": 3, "items": (1, 2, 3)}).answer["prediction"][0]
odd = odd_ones_model(client).predict({"class": 2.5, "2nd value's": 3})
many = churn.predict_many([row])
odd_ones_model(client).predict({"class": "two", "2nd value's": None})
print(answer["prediction"], many.answer[0]["probabilities"]["churn"], first["item"], odd.answer["prediction"])
`

const WRONG_PY = `
from slipway_client import Client
from churn import churn_model

def wrong(client: Client) -> None:
    churn = churn_model(client)
    churn.predict({"tenure_months": 1, "monthly_charges": 1, "plan": "gold", "contract": "one-year"})
    churn.predict({"monthly_charges": 1, "plan": "pro", "contract": "one-year"})
    churn.predict({"tenure_months": 1, "monthly_charges": 1, "plan": "pro", "contract": "one-year", "tenure": 1})
    churn_model(client, fallback={"prediction": "leaves", "confidence": 1, "probabilities": {}})
`

describe('slipway client generate', () => {
  let folder: TemporaryFolder
  let server: SlipwayServer
  before(async () => {
    folder = await temporaryFolder()
    await folder.write('odd-ones/model.onnx', linearModel())
    await folder.write('odd-ones/slipway.yaml', ODD)
    const models = [...['churn', 'digits', 'recommend'].map(example), join(folder.path, 'odd-ones')].map((path) => ({ path }))
    server = await startServer({ models, port: 0, serving: { instances: 1 }, environment: {} })
    await cp(join(ROOT, 'clients/generated'), folder.path, { recursive: true })
  })
  after(async () => {
    await server.close()
    await folder[Symbol.asyncDispose]()
  })

  const written = async (source: string, language: string, ...more: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await slipway(['client', 'generate', source, '--language', language, ...more])
    assert.equal(code, 0, stderr)
    return stdout
  }

  it('writes what clients/generated has, from the folder and from the server', async () => {
    await Promise.all(
      LANGUAGES.flatMap(([language, extension]) => [
        ...['churn', 'digits', 'recommend'].map(async (model) => {
          const kept = await readFile(join(ROOT, `clients/generated/${model}.${extension}`), 'utf8')
          assert.equal(await written(`${server.url}/`, language, '--model', model), kept, `${model} in ${language}`)
          if (model === 'churn') assert.equal(await written(example('churn'), language), kept)
        }),
        written(join(folder.path, 'odd-ones'), language, '--out', join(folder.path, `odd.${extension}`)),
      ]),
    )
  })

  it('says what it needs', async () => {
    for (const [args, words] of [
      [[example('churn'), '--language', 'cobol'], /--language cobol: expected typescript or python/],
      [[example('churn')], /required option '--language <language>'/],
      [[server.url, '--language', 'python'], /the server has 4 models .*choose one with --model/],
      [[server.url, '--language', 'python', '--model', 'nobody'], /404/],
    ] as const) {
      const { code, stderr } = await slipway(['client', 'generate', ...args])
      assert.notEqual(code, 0)
      assert.match(stderr, words)
    }
  })

  it('its TypeScript is strict, and predicts', async () => {
    await folder.write('use.ts', USE_TS)
    await folder.write('package.json', '{"type": "module"}')
    await folder.write('tsconfig.json', JSON.stringify(TSCONFIG))
    await runs(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', folder.path])
    // As it is installed, but for types that are stripped in place.
    const installed = join(folder.path, 'node_modules/slipway')
    await folder.write('node_modules/slipway/package.json', '{"type": "module", "exports": {"./client": "./client.js"}}')
    const bundle = await import('rolldown').then(({ rolldown }) => rolldown({ input: join(ROOT, 'src/client/index.ts') }))
    await bundle.write({ file: join(installed, 'client.js') })
    await symlink(join(ROOT, 'node_modules/@types'), join(folder.path, 'node_modules/@types'))
    assert.match(await runs(process.execPath, ['use.ts', server.url]), /^churn 0\.\d+ \d 31\.5\n$/)
  })

  it('its Python is typed, as the client is, and predicts', async () => {
    const python = await pythonEnv('clients')
    await folder.write('use.py', USE_PY)
    await folder.write('wrong.py', WRONG_PY)
    const mypy = ['-m', 'mypy', '--strict', '--cache-dir', join(folder.path, 'mypy')]
    await runs(python, [...mypy, 'use.py', 'digits.py', join(ROOT, 'clients/python/src/slipway_client')])
    const complaints = await runs(python, [...mypy, 'wrong.py']).then(
      () => assert.fail('mypy finds nothing wrong'),
      (error: Error) => error.message,
    )
    for (const words of [/"gold"|"plan"/, /Missing key "tenure_months"/, /Extra key "tenure"/, /"leaves"|"fallback"/])
      assert.match(complaints, words)
    assert.match(await runs(python, ['use.py', server.url]), /^churn 0\.\d+ \d 31\.5\n$/)
  })

  async function runs(command: string, args: readonly string[]): Promise<string> {
    const path = join(ROOT, 'clients/python/src')
    const env = { ...process.env, PYTHONPATH: path, MYPYPATH: path, PYTHONDONTWRITEBYTECODE: '1' }
    const { stdout } = await promisify(execFile)(command, args, { cwd: folder.path, env }).catch(
      (error: Error & { stdout?: string; stderr?: string }) => {
        throw new Error(`${error.message}\n${error.stdout}${error.stderr}`)
      },
    )
    return stdout
  }
})
