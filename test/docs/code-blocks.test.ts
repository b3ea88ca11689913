/** Every block of code in the pages is run: here, or by the test that is named beside it. A new block without a test fails. */
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { promisify } from 'node:util'
import { ModelPackageDocument } from '../../src/contract/model-package.ts'
import { readYaml } from '../../src/contract/read-yaml.ts'
import { planeInProcess, push } from '../api/in-plane.ts'
import { slipway } from '../cli/slipway.ts'
import { example, ROOT } from '../fixtures.ts'
import { buildModel, node, value, weights } from '../onnx/build-model.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { commands } from './commands-of.ts'

interface Block {
  readonly page: string
  readonly language: string
  readonly text: string
}

async function pages(): Promise<string[]> {
  const below = async (folder: string): Promise<string[]> =>
    (await readdir(join(ROOT, folder))).filter((name) => name.endsWith('.md')).map((name) => `${folder}/${name}`)
  const examples = (await readdir(join(ROOT, 'examples'))).map((name) => `examples/${name}/README.md`)
  const all = [
    ...(await below('.')),
    ...(await below('docs')),
    ...(await below('docs/guides')),
    ...(await below('docs/reference')),
    ...examples,
  ]
  return all.map((page) => page.replace(/^\.\//, ''))
}

async function blocksOf(page: string): Promise<Block[]> {
  const text = await readFile(join(ROOT, page), 'utf8').catch(() => '')
  return [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```/gm)].map(([, language = '', code = '']) => ({ page, language, text: code }))
}

async function block(page: string, language: string, index = 0): Promise<string> {
  const found = (await blocksOf(page)).filter((one) => one.language === language)[index]
  assert.ok(found !== undefined, `${page} has no ${language} block ${index}`)
  return found.text
}

/** Pages whose commands need one another, and the tests that run them from the first to the last. */
const GUIDES: Readonly<Record<string, string>> = {
  'docs/guides/clouds.md': 'clouds-guide.test.ts',
  'docs/guides/clients.md': 'clients-guide.test.ts',
  'docs/guides/control-plane.md': 'control-plane-guide.test.ts',
  'docs/guides/kubernetes.md': 'kubernetes-guide.test.ts',
  'docs/guides/kubernetes-tools.md': 'kubernetes-tools-guide.test.ts',
  'docs/guides/images.md': 'images-guide.test.ts',
  'docs/guides/notifications.md': 'notifications-guide.test.ts',
  'docs/guides/gates.md': 'gates-guide.test.ts',
  'docs/guides/records.md': 'records-guide.test.ts',
  'docs/guides/registry.md': 'registry-guide.test.ts',
  'docs/guides/rollouts.md': 'rollouts-guide.test.ts',
  'docs/guides/text.md': 'text-guide.test.ts',
  'docs/guides/traffic.md': 'traffic-guide.test.ts',
  'docs/guides/years.md': 'years-guide.test.ts',
}

/** Commands that no page's test runs as they stand, and what does. */
const ELSEWHERE: readonly (readonly [command: RegExp, by: string])[] = [
  [/^npm ci && npm run demo$/, 'test/cli/commands.test.ts runs the demo, and whoever runs this has run npm ci'],
  [/^npm test$/, 'itself'],
  [/^npm install --ignore-scripts slipway$/, 'test/package/tarball.test.ts'],
]

/** Programs of docs/benchmarks.md: they run for minutes, and here say what they would take. */
const BENCHMARKS: Readonly<Record<string, readonly string[]>> = {
  'npm run bench': ['bench/run.ts', '--list'],
  'sh scripts/node bench/operations/run.ts': ['bench/operations/run.ts', '--list'],
}

/** Kinds of block that are run, by page and language. */
const RUN: readonly (readonly [page: RegExp, language: string, by: string])[] = [
  [/^README\.md$/, 'ts', 'here'],
  [/^docs\/guides\/clients\.md$/, 'ts', 'clients-guide.test.ts'],
  [/^docs\/guides\/clients\.md$/, 'python', 'clients-guide.test.ts'],
  [/^docs\/guides\/embedding\.md$/, 'ts', 'here'],
  [/^docs\/guides\/judging\.md$/, 'ts', 'here'],
  [/^docs\/guides\/kubernetes\.md$/, 'yaml', 'kubernetes-guide.test.ts'],
  [/^docs\/guides\/kubernetes-snippets\.md$/, 'yaml', 'test/kubernetes/lint/snippets.test.ts'],
  [/^docs\/guides\/model-package\.md$/, 'yaml', 'here'],
  [/^docs\/guides\/serving\.md$/, 'python', 'test/conformance/grpc-clients.test.ts'],
  [/^docs\/guides\/serving\.md$/, 'yaml', 'here'],
  [/^docs\/guides\/observing\.md$/, 'yaml', 'test/observe/prometheus.test.ts'],
  [/^docs\/guides\/observing\.md$/, 'promql', 'test/observe/prometheus.test.ts'],
  [/^docs\/guides\/registry\.md$/, 'python', 'registry-guide.test.ts'],
  [/^docs\/guides\/rollouts\.md$/, 'yaml', 'rollouts-guide.test.ts'],
  [/^docs\/guides\/text\.md$/, 'yaml', 'text-guide.test.ts'],
  [/^docs\/reference\/contents\.md$/, 'python', 'here'],
]

/** Drawings and what programs print or read: no code. */
const NO_CODE = new Set(['ARCHITECTURE.md '])

describe('every block of code in the pages', () => {
  it('has a test that runs it', async () => {
    const left: string[] = []
    for (const page of await pages())
      for (const { language, text } of await blocksOf(page)) {
        if (language === 'text' || NO_CODE.has(`${page} ${language}`)) continue
        if (language !== 'sh') {
          if (!RUN.some(([pattern, of]) => pattern.test(page) && of === language))
            left.push(`${page}: ${language} block ${text.slice(0, 60)}`)
          continue
        }
        if (page in GUIDES || page === 'docs/benchmarks.md') continue
        const run = new Set(commands(`\`\`\`sh\n${text}\`\`\`\n`))
        for (const line of text.split('\n').map((one) => one.replace(/\s+#.*$/, '').trim()))
          if (line !== '' && !run.has(line) && !ELSEWHERE.some(([command]) => command.test(line))) left.push(`${page}: ${line}`)
      }
    assert.deepEqual(left, [])
  })

  it('of the benchmarks names a program that starts', async () => {
    const lines = (await blocksOf('docs/benchmarks.md'))
      .filter(({ language }) => language === 'sh')
      .flatMap(({ text }) => text.split('\n'))
      .map((line) => line.replace(/\s+#.*$/, '').trim())
      .filter((line) => line !== '')
    assert.ok(lines.length >= 8)
    for (const line of lines) {
      const known = Object.entries(BENCHMARKS).find(([start]) => line.startsWith(start))
      const args = known?.[1] ?? [/(?:scripts\/node )(\S+)/.exec(line)?.[1] ?? programOf(line), '--help']
      const { status, stderr } = spawnSync('sh', [join(ROOT, 'scripts/node'), ...args], { cwd: ROOT, encoding: 'utf8', timeout: 60_000 })
      assert.equal(status, 0, `${line}: ${stderr}`)
    }
  })
})

/** The program of `npm run NAME`. */
function programOf(line: string): string {
  const name = /^npm run (\S+)/.exec(line)?.[1] ?? ''
  const { scripts } = JSON.parse(spawnSync('cat', [join(ROOT, 'package.json')], { encoding: 'utf8' }).stdout) as {
    scripts: Record<string, string>
  }
  return scripts[name]?.replace('sh scripts/node ', '') ?? `there is no script ${name}`
}

/** Runs a program of TypeScript in a folder that has the examples; `slipway` is the sources. */
async function runTypeScript(folder: string, text: string): Promise<string> {
  await symlink(join(ROOT, 'examples'), join(folder, 'examples')).catch(() => {})
  const file = join(folder, 'app.ts')
  const sources = { "from 'slipway'": 'src/index.ts', "from 'slipway/judge'": 'src/judge/index.ts' }
  for (const [name, source] of Object.entries(sources)) text = text.replaceAll(name, `from '${join(ROOT, source)}'`)
  await writeFile(file, text)
  const { stdout } = await promisify(execFile)('sh', [join(ROOT, 'scripts/node'), file], {
    cwd: folder,
    env: { ...process.env, HOME: folder },
  })
  return stdout
}

describe('TypeScript in the pages', () => {
  it('of README and the guide to embedding predicts', async () => {
    await using folder = await temporaryFolder()
    assert.match(await runTypeScript(folder.path, await block('README.md', 'ts')), /prediction: '(?:churn|stays)'/)
    const said = await runTypeScript(folder.path, await block('docs/guides/embedding.md', 'ts'))
    assert.equal([...said.matchAll(/prediction: '(?:churn|stays)'/g)].length, 3, said)
  })

  it('of the guide to judging says what stands below it', async () => {
    await using folder = await temporaryFolder()
    assert.equal(
      await runTypeScript(folder.path, await block('docs/guides/judging.md', 'ts')),
      await block('docs/guides/judging.md', 'text'),
    )
  })

  it('of the guide to embedding follows an alias of a registry', async () => {
    await using plane = await planeInProcess()
    await using folder = await temporaryFolder()
    await plane.ask('POST', '/models', { name: 'churn' })
    await push(plane, 'churn', { 'model.onnx': await readFile(join(example('churn'), 'model.onnx')) })
    await plane.ask('PUT', '/models/churn/aliases/champion', { version: 1 })
    const text = (await block('docs/guides/embedding.md', 'ts', 1)).replace('http://127.0.0.1:8480', plane.url)
    assert.equal((await runTypeScript(folder.path, text)).trim(), '1')
  })
})

describe('YAML in the pages', () => {
  it('of the guide to packages describes a model that loads and gives its golden answer', async () => {
    const text = await block('docs/guides/model-package.md', 'yaml')
    assert.ok('value' in readYaml(text, ModelPackageDocument))
    await using folder = await temporaryFolder()
    await folder.write('churn/slipway.yaml', text)
    // Columns: tenure_months, plan as one of three, discount. Whatever they are, the second class has a probability of 0.93.
    await folder.write(
      'churn/model.onnx',
      buildModel({
        input: [value('x', 'FP32', ['batch', 5])],
        output: [value('probabilities', 'FP32', ['batch', 2])],
        node: [node('Gemm', ['x', 'w', 'b'], ['scores']), node('Softmax', ['scores'], ['probabilities'], { axis: 1n })],
        initializer: [
          weights('w', 'FP32', [5, 2], new Float32Array(10)),
          weights('b', 'FP32', [2], Float32Array.of(0, Math.log(0.93 / 0.07))),
        ],
      }),
    )
    const row = '{"tenure_months": 2, "plan": "basic"}'
    const { code, stdout, stderr } = await slipway(['predict', join(folder.path, 'churn')], row)
    assert.equal(code, 0, stderr)
    const { prediction, confidence } = JSON.parse(stdout) as { prediction: string; confidence: number }
    assert.deepEqual([prediction, confidence.toFixed(2)], ['churn', '0.93'])
  })

  it('of the guide to serving is a file of keys that a server takes, once its digits are all there', async () => {
    await using folder = await temporaryFolder()
    const text = (await block('docs/guides/serving.md', 'yaml')).replaceAll(
      /(sha256|key): ([0-9a-f]{4})\.\.\./g,
      (_, kind: string, start: string) => `${kind}: ${start.repeat(kind === 'key' ? 12 : 16)}`,
    )
    assert.doesNotMatch(text, /\.\.\./)
    const file = await folder.write('keys.yaml', text)
    spawnSync('chmod', ['600', file])
    const { code, stderr } = await slipway(['serve', example('churn'), '--api-keys-file', file, '--dry-run'])
    assert.equal(code, 0, stderr)
  })
})

it("somebody else's client, as the page about files has it, pushes a version that our digests are the same of", async () => {
  await using plane = await planeInProcess()
  await using folder = await temporaryFolder()
  const model = join(folder.path, 'model')
  await mkdir(join(model, 'more/é'), { recursive: true })
  await cp(join(example('churn'), 'model.onnx'), join(model, 'model.onnx'))
  await writeFile(join(model, 'more/empty'), '')
  await writeFile(join(model, 'more/é/\u{1F600} "quoted".txt'), 'text')
  // Two chunks and a bit.
  await writeFile(join(model, 'more/large.bin'), Buffer.alloc(2 * 8 * 1024 * 1024 + 5, 3))
  const client = await folder.write('client.py', await block('docs/reference/contents.md', 'python'))
  const run = async (name: string): Promise<string> =>
    (await promisify(execFile)('python3', [client, plane.url, name, model])).stdout.trim()
  const [name, version, digest] = (await run('theirs')).split(' ')
  assert.deepEqual([name, version], ['theirs', '1'])
  const { body } = await plane.ask('GET', '/models/theirs/versions/1')
  assert.equal(body.digest, digest)
  // Sent once more, nothing is missing, and it is the same.
  assert.equal((await run('again')).split(' ')[2], digest)
})
