/** `slipway gate` for versions of a registry: what is kept, what policies make of it, and what it waits for. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { planeInProcess } from '../api/in-plane.ts'
import { slipway } from '../cli/slipway.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { classifier } from './models.ts'
import type { Plane } from '../api/in-plane.ts'
import type { Run } from '../cli/slipway.ts'
import type { GateAnswer, GateReport } from '../../src/contract/gate-report.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const ROWS = Array.from({ length: 300 }, (_, row) => `${row % 100},${row % 3 === 0},${row % 100 < 50 ? 'no' : 'yes'}`)
const DOCUMENT = `datasets: { d: { file: d.csv, label: truth } }
checks:
  metrics: [{ metric: accuracy, min: 0.8, change: -0.01 }]
  comparisons: [{ test: mcnemar, margin: 0.04 }]
`

describe('versions of a registry', () => {
  let folder: TemporaryFolder
  let plane: Plane
  let gates: string

  before(async () => {
    folder = await temporaryFolder()
    plane = await planeInProcess()
    await folder.write('d.csv', ['age,vip,truth', ...ROWS].join('\n'))
    gates = await folder.write('gates.yaml', DOCUMENT)
    const push = async (name: string, bias: number, more: string, alias: string): Promise<void> => {
      const path = await classifier(folder, name, { age: 1, bias, more })
      const { code, stderr } = await cli('model', 'push', path, '--name', 'm', '--alias', alias)
      assert.equal(code, 0, stderr)
    }
    await push('one', -49.5, '', 'champion')
    await push('two', -50.5, 'description: as good but for one age in a hundred\n', 'candidate')
    await push('three', -69.5, 'description: much worse\n', 'worse')
  })
  after(async () => {
    await plane[Symbol.asyncDispose]()
    await folder[Symbol.asyncDispose]()
  })

  const cli = (...args: string[]): Promise<Run> => slipway([...args, '--url', plane.url])
  const gate = (version: string, ...more: string[]): Promise<Run> => cli('gate', version, '--gates', gates, ...more)
  const kept = async (version: number): Promise<GateAnswer[]> => (await plane.ask('GET', `/models/m/versions/${version}/gates`)).body.items

  it('are compared with the champion, and the result is kept with the version and on record', async () => {
    const { code, stdout, stderr } = await gate('m@candidate')
    assert.deepEqual([code, stderr], [0, ''])
    assert.match(stdout, /^pass +contract +takes and gives what m\/1 does$/m)
    assert.match(stdout, /^pass +accuracy against the champion, on d \(mcnemar\) +worse by 0\.01 \(-0\.02\d* to 0\.004\d*\)$/m)
    assert.match(stdout, /^m\/2 against m\/1, gate release: pass$/m)
    const [answer, ...others] = await kept(2)
    assert.deepEqual([others.length, answer?.gate, answer?.verdict, answer?.createdBy], [0, 'release', 'pass', 'local'])
    assert.deepEqual([answer?.report.subject, answer?.report.champion, answer?.report.datasets[0]?.rows], ['m/2', 'm/1', 300])
    assert.match(answer?.report.document ?? '', /^[0-9a-f]{64}$/)
    const { body } = await plane.ask('GET', '/models/m/versions/2')
    assert.deepEqual(
      body.gates.map(({ gate: name, verdict }: GateAnswer) => [name, verdict]),
      [['release', 'pass']],
    )
    const { items } = (await plane.ask('GET', '/events?name=m/2&limit=1')).body
    assert.deepEqual([items[0].after.gate, items[0].after.verdict, items[0].after.datasets[0].name], ['release', 'pass', 'd'])
    assert.match((await cli('model', 'gates', 'm/2')).stdout, /^m\/2 against m\/1, gate release: pass$/m)
    assert.equal((await cli('model', 'gates', 'm/1')).stdout, 'no gate was run\n')
    assert.match((await cli('model', 'show', 'm/2')).stdout, /^ +gates +release pass \(local\)$/m)
  })

  it('that are worse fail, and nothing is kept of a dry run', async () => {
    const dry = await gate('m@worse', '--dry-run', '--output', 'json')
    assert.deepEqual([dry.code, (JSON.parse(dry.stdout) as { verdict: string }).verdict, (await kept(3)).length], [1, 'fail', 0])
    const { code, stdout } = await gate('m/3')
    assert.equal(code, 1)
    assert.match(stdout, /^FAIL +accuracy on d +accuracy is 0\.8: the champion has 1, and it must be worse by 0\.01 at most$/m)
    assert.match(stdout, /^ +line 52: no instead of yes$/m)
    assert.equal((await kept(3))[0]?.verdict, 'fail')
  })

  it('wait for a person where their policy asks for one, and the alias moves when everything is there', async () => {
    assert.equal((await cli('model', 'update', 'm', '--gate', 'champion', '--gates', 'release', '--approval', 'yes')).code, 0)
    assert.match((await cli('model', 'show', 'm')).stdout, /^ +gated +champion: an approval and the gates release$/m)
    const move = (version: string): Promise<Run> => cli('alias', 'set', 'm@champion', version)
    const worse = await move('3')
    assert.equal(worse.code, 3)
    assert.match(
      worse.stderr,
      /m\/3 is not approved: slipway model approve m\/3; the gate "release" of m\/3, run by local, has failed \(accuracy on d: accuracy is 0\.8/,
    )
    const waiting = await gate('m/2')
    assert.equal(waiting.code, 3)
    assert.match(waiting.stdout, /waits for somebody with the scope protect \(operator, admin\): slipway model approve m\/2$/m)
    assert.equal((await kept(2))[0]?.verdict, 'waiting')
    assert.match((await move('2')).stderr, /is gated: m\/2 is not approved: slipway model approve m\/2\n/)
    assert.equal((await cli('model', 'approve', 'm/2')).code, 0)
    assert.equal((await kept(2))[0]?.verdict, 'pass', 'all that was missing is there')
    assert.equal((await move('2')).code, 0)
    assert.equal((await gate('m/2')).code, 0)
    assert.equal((await cli('model', 'reject', 'm/3')).code, 0)
    assert.equal((await gate('m/3')).code, 1)
  })

  it('that would break clients fail by their contract', async () => {
    const path = await classifier(folder, 'four', { age: 1, bias: -49.5, more: 'description: narrower\n' })
    const { readFile } = await import('node:fs/promises')
    await folder.write('four/slipway.yaml', (await readFile(`${path}/slipway.yaml`, 'utf8')).replace('maximum: 100', 'maximum: 99'))
    assert.equal((await cli('model', 'push', path, '--name', 'm')).code, 0)
    const { code, stdout } = await gate('m/4')
    assert.equal(code, 1)
    assert.match(stdout, /^FAIL +contract +would break clients of m\/2: feature "age" took 0 to 100, takes 0 to 99$/m)
  })

  it('of another environment have gates of their own', async () => {
    await plane.ask('POST', '/environments', { name: 'production' })
    const there = ['--environment', 'production']
    assert.equal((await cli('promote', 'm/2', '--to', 'production', '--no-alias')).code, 0)
    assert.equal((await cli('model', 'update', 'm', '--gate', 'champion', '--gates', 'any', ...there)).code, 0)
    const refused = await cli('promote', 'm/2', '--to', 'production', '--alias', 'champion')
    assert.equal(refused.code, 3)
    assert.match(refused.stderr, /no gate of m\/1 was run: slipway gate m\/1 --gates FILE/)
    const first = await gate('m/1', ...there)
    assert.equal(first.code, 0, first.stdout)
    assert.match(first.stdout, /no champion to compare with, which leaves out: comparison \(mcnemar\)/)
    assert.equal((await cli('promote', 'm/2', '--to', 'production', '--alias', 'champion')).code, 0)
  })

  it('are gated by whoever may write, and shown to whoever may read', async () => {
    const report: GateReport = { gate: 'release', subject: 'm/1', datasets: [], results: [], notes: [], machine: 'here', at: 1 }
    const named = await plane.ask('POST', '/models/m/versions/1/gates', { ...report, gate: 'approval' })
    assert.deepEqual([named.status, named.body.code], [400, 'SLW_INPUT_INVALID'], 'that of a person is no result that is sent')
    const forged = await plane.ask('POST', '/models/m/versions/1/gates', { ...report, verdict: 'pass' })
    assert.equal(forged.status, 400, 'what it means is concluded, and not said')
    const { key: root } = (await plane.ask('POST', '/keys', { name: 'root', scopes: ['admin'] })).body as { key: string }
    const as = { authorization: `Bearer ${root}` }
    const { key } = (await plane.ask('POST', '/keys', { name: 'reader', scopes: ['viewer'] }, as)).body as { key: string }
    const run = async (...more: string[]): Promise<Run> =>
      await slipway(['gate', 'm/2', '--gates', gates, '--url', plane.url, ...more], undefined, { SLIPWAY_API_KEY: key })
    const refused = await run()
    assert.deepEqual([refused.code, /SLW_FORBIDDEN/.test(refused.stderr)], [2, true])
    assert.equal((await run('--dry-run')).code, 0)
  })
})
