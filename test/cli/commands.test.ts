import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { addingModel } from '../adding-models.ts'
import { example, ROOT, serveExamples, until } from '../fixtures.ts'
import { buildModel, node, value } from '../onnx/build-model.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { slipway } from './slipway.ts'

describe('the command line', () => {
  it('helps, with examples, on standard output', async () => {
    const { code, stdout, stderr } = await slipway(['--help'])
    assert.deepEqual([code, stderr], [0, ''])
    for (const command of ['serve', 'predict', 'inspect', 'bench', 'tune', 'init', 'demo', 'doctor', 'config', 'version'])
      assert.match(stdout, new RegExp(`^ {2}${command}`, 'm'))
    assert.match((await slipway(['serve', '--help'])).stdout, /--max-batch-size <n>/)
  })

  it('a setting that cannot be is refused in two lines, exit code 2', async () => {
    const { code, stderr } = await slipway(['serve', 'examples/churn', '--port', '0', '--dialects', 'telnet'])
    assert.equal(code, 2, stderr)
    assert.match(stderr, /^error: dialects: there is no dialect "telnet"; there are v2, .*\nSLW_CONFIG_INVALID: .*\n$/)
  })

  it('a misspelt command or flag is refused with the nearest, exit code 2', async () => {
    const command = await slipway(['serv'])
    assert.equal(command.code, 2)
    assert.match(command.stderr, /Did you mean serve/)
    const flag = await slipway(['serve', '--prot', '1'])
    assert.equal(flag.code, 2)
    assert.match(flag.stderr, /Did you mean --port/)
  })

  it('predict answers JSON from standard input, CSV line by line, and a picture', async () => {
    const ranking = await slipway(['predict', example('recommend')], '{"user": 3, "items": [1, 2, 3]}')
    assert.equal(ranking.code, 0, ranking.stderr)
    assert.equal((JSON.parse(ranking.stdout) as { prediction: unknown[] }).prediction.length, 3)
    const csv = await slipway(['predict', example('churn'), '--input', join(example('churn'), 'customers.csv')])
    assert.ok(
      csv.stdout
        .trim()
        .split('\n')
        .every((line) => typeof (JSON.parse(line) as { confidence: number }).confidence === 'number'),
    )
    const picture = await slipway(['predict', example('digits'), '--input', join(example('digits'), 'digit-3.png'), '--json'])
    assert.equal(String((JSON.parse(picture.stdout) as { prediction: unknown }).prediction), '3')
  })

  it('predict names a wrong value, as JSON when asked, and exits with 1', async () => {
    const { code, stdout, stderr } = await slipway(['predict', example('churn'), '--json'], '{"plan": "gold"}')
    assert.deepEqual([code, stdout], [1, ''])
    const error = JSON.parse(stderr) as { code: string; issues: { path: string }[] }
    assert.equal(error.code, 'SLW_INPUT_INVALID')
    assert.ok(error.issues.some((issue) => issue.path === 'inputs[0].plan'))
  })

  it('inspect shows signature, cost and advice', async () => {
    const { stdout } = await slipway(['inspect', example('churn'), '--json'])
    const report = JSON.parse(stdout) as { inputs: string[]; batchable: string; advice: string[]; digest: string }
    assert.deepEqual(report.inputs, ['customers FP32 [-1, 10]'])
    assert.match(report.batchable, /^yes/)
    assert.match(report.digest, /^sha256:[0-9a-f]{64}$/)
    assert.ok(report.advice.length > 0)
  })

  it('init writes a document that the server accepts, and does not overwrite one', async () => {
    await using folder = await temporaryFolder()
    await cp(join(example('churn'), 'model.onnx'), join(folder.path, 'model.onnx'))
    assert.equal((await slipway(['init', folder.path])).code, 0)
    assert.match(await readFile(join(folder.path, 'slipway.yaml'), 'utf8'), /customers: FP32/)
    assert.equal((await slipway(['serve', `fresh=${folder.path}`, '--dry-run'])).code, 0)
    assert.equal((await slipway(['init', folder.path])).code, 2)
  })

  it('bench measures a server, closed loop and open, without errors', async () => {
    await using server = await serveExamples(['churn'], { serving: { instances: 1 } })
    for (const extra of [
      ['--connections', '1,4'],
      ['--rate', '100'],
    ]) {
      const { code, stdout, stderr } = await slipway(['bench', server.url, '--duration', '0.5', '--json', ...extra])
      assert.equal(code, 0, stderr)
      const { results } = JSON.parse(stdout) as { results: { requestsPerSecond: number; errors: number; p50Ms: number; p99Ms: number }[] }
      for (const result of results) {
        assert.equal(result.errors, 0)
        assert.ok(result.requestsPerSecond > 0 && result.p50Ms <= result.p99Ms)
      }
    }
    assert.equal((await slipway(['bench', 'http://127.0.0.1:9'])).code, 7)
  })

  it('config view shows where a value comes from', async () => {
    const { stdout } = await slipway(['config', 'view', '--show-origin', '--port', '9', '--json'])
    const port = (JSON.parse(stdout) as { key: string; value: unknown; origin: string }[]).find((row) => row.key === 'port')
    assert.deepEqual(port, { key: 'port', value: 9, origin: 'flag --port' })
  })

  it('doctor finds this machine able to serve', async () => {
    const { code, stdout } = await slipway(['doctor', '--json'])
    assert.equal(code, 0, stdout)
    assert.ok((JSON.parse(stdout) as { check: string }[]).some((finding) => finding.check === 'ONNX Runtime'))
  })

  it('init has the columns of the file itself, of one input and of several, and is served as it is written', async () => {
    await using folder = await temporaryFolder()
    await folder.write('one/model.onnx', addingModel(1))
    assert.equal((await slipway(['init', join(folder.path, 'one')])).code, 0)
    const one = await readFile(join(folder.path, 'one/slipway.yaml'), 'utf8')
    for (let column = 1; column <= 4; column++) assert.ok(one.includes(`#   - { name: column_${column}, type: number }`), one)
    // With the comment marks taken away it is a package that takes such rows.
    await folder.write(
      'one/slipway.yaml',
      one.replace(/^# features:\n(?:#   - .*\n)+/m, (block) => block.replaceAll(/^# /gm, '')),
    )
    const row = '{"column_1": 1, "column_2": 2, "column_3": 3, "column_4": 4}'
    assert.equal((await slipway(['predict', join(folder.path, 'one')], row)).code, 0)
    await folder.write(
      'several/model.onnx',
      buildModel({
        input: [value('age', 'FP32', ['batch', 1]), value('visits', 'INT64', ['batch', 1]), value('plan type', 'BYTES', ['batch', 1])],
        output: [value('y', 'FP32', ['batch', 1]), value('plan', 'BYTES', ['batch', 1])],
        node: [node('Identity', ['age'], ['y']), node('Identity', ['plan type'], ['plan']), node('Identity', ['visits'], ['unused'])],
      }),
    )
    assert.equal((await slipway(['init', join(folder.path, 'several')])).code, 0)
    const several = await readFile(join(folder.path, 'several/slipway.yaml'), 'utf8')
    assert.match(
      several,
      /^features:\n {2}- \{ name: age, type: number \}\n {2}- \{ name: visits, type: integer \}\n {2}- \{ name: "plan type", type: string \}$/m,
    )
    const { code, stdout, stderr } = await slipway(
      ['predict', join(folder.path, 'several')],
      '{"age": 3.5, "visits": 2, "plan type": "pro"}',
    )
    assert.equal(code, 0, stderr)
    assert.match(stdout, /3\.5/)
    assert.match(stdout, /"pro"/)
  })

  it('demo shows answers, a switch and a stop under load, metrics, the same from a control plane, and two rollouts, and ends by itself', async () => {
    const { code, stdout, stderr } = await slipway(['demo'])
    assert.equal(code, 0, stderr)
    assert.match(stdout, /"prediction":"(churn|stays)"/)
    assert.match(stdout, /version 1 to 2: load \S+ m?s, warm-up .* drain/)
    assert.match(stdout, /[1-9]\d* by version 1, [1-9]\d* by version 2, 0 failed/)
    assert.match(stdout, /\/ready 503 at once; [1-9]\d* requests answered, 0 failed; all in flight finished/)
    assert.match(stdout, /slipway_batch_rows_count\{version="2"\} +\d+/)
    const rollouts = ['rollout start', 'rollout show', 'model push', 'rollout start', 'rollout show']
    const [, plane = ''] = stdout.split('The same model from a control plane')
    const commands = [...plane.matchAll(/^\$ slipway (\w+(?: (?:push|set|rollback|start|show))?)/gm)].map(([, words]) => words)
    assert.deepEqual(commands, ['up', 'model push', 'deploy', 'serve', 'model push', 'alias set', 'endpoint rollback', ...rollouts])
    assert.match(plane, /^ {2}churn\/1\n {4}servable {2}yes$/m)
    assert.match(plane, /^ {2}endpoint churn created: revision 1$/m)
    assert.match(plane, /^ {2}churn\/2 answers .* after the command was begun$/m)
    assert.match(plane, /^ {4}~ versions\.main: churn\/2 -> churn\/1$/m)
    assert.match(plane, /^ {2}churn\/1 answers .* after the command was begun$/m)
    assert.match(plane, /meanwhile [1-9]\d* requests: [1-9]\d* by version 1, [1-9]\d* by version 2, 0 failed/)
    assert.match(plane, /^ {2}promoted under [1-9]\d* requests, 0 failed$/m)
    assert.match(plane, /errors: .* of the candidate,[^]*that it goes wrong more often is\s+shown/)
    assert.match(plane, /^ {2}rolled back: [1-9]\d* of [1-9]\d* requests met the bad version and failed.*; 0 others failed$/m)
  })

  it('demo ends with 1 and says so where a request failed', async () => {
    await using folder = await temporaryFolder()
    const trigger = join(folder.path, 'now')
    const child = spawn(process.execPath, [join(ROOT, 'bin/slipway'), 'demo'], {
      env: { ...process.env, SLIPWAY_FAIL_POINTS: `run:throw@${trigger}` },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let said = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()))
    const ended = once(child, 'close')
    await until(() => said.includes('Stopping, while') || child.exitCode !== null, 'clients ask', 60_000)
    await writeFile(trigger, '')
    assert.deepEqual(await ended, [1, null], said)
    assert.match(said, /[1-9]\d* requests failed, and none should/)
    assert.doesNotMatch(said, /^Next:/m)
  })
})
