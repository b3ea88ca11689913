import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { inspectOnnx } from '../../src/onnx/inspect.ts'
import { loadModel } from '../../src/library/load-model.ts'
import { addingModel, QUESTION } from '../adding-models.ts'
import { ask } from '../asking.ts'
import { serveInChild } from '../child-server.ts'
import { alive, childrenOf, ROOT, until } from '../fixtures.ts'
import { buildModel, node, value } from '../onnx/build-model.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import {
  asLargeAsItsValue,
  countsTo,
  countsToTen,
  hangsForAllValues,
  hangsForLargeValues,
  nested,
  padsIfPositive,
  wide,
} from './hostile-graphs.ts'
import type { Asked } from '../asking.ts'
import type { ChildServer } from '../child-server.ts'

const GB = 1024 ** 3

function tensor(datatype: string, shape: readonly number[], data: readonly number[]): string {
  return JSON.stringify({ inputs: [{ name: 'x', datatype, shape, data }] })
}

function infer(server: ChildServer, model: string, body: string): Promise<Asked> {
  return ask(`${server.url}/v2/models/${model}/infer`, { method: 'POST', body })
}

/** Asks a model that is well, again and again, until the signal. @returns the slowest answer, ms */
async function slowestMeanwhile(server: ChildServer, meanwhile: Promise<unknown>): Promise<number> {
  let slowest = 0
  const over = new AbortController()
  void meanwhile.finally(() => over.abort()).catch(() => {})
  while (!over.signal.aborted) {
    const began = performance.now()
    const { status } = await infer(server, 'm', QUESTION)
    assert.equal(status, 200)
    slowest = Math.max(slowest, performance.now() - began)
  }
  return slowest
}

describe('a model whose run does not end for one value', () => {
  it('holds up nobody else, is ended after its time, answers the next request, and keeps nobody from stopping', async () => {
    await using folder = await temporaryFolder()
    await folder.write('all/m/1/model.onnx', addingModel(1))
    await folder.write('all/hangs/1/model.onnx', hangsForLargeValues())
    await using server = await serveInChild([`${folder.path}/all`, '--run-timeout-ms', '1500', '--instances', '1', '--drain-pause', '0ms'])
    assert.equal((await infer(server, 'hangs', tensor('FP32', [1], [3]))).status, 200)
    const hanging = infer(server, 'hangs', tensor('FP32', [1], [2e6]))
    const slowest = await slowestMeanwhile(server, hanging)
    assert.ok(slowest < 1000, `${slowest} ms`)
    assert.equal((await hanging).status, 504)
    await until(async () => (await infer(server, 'hangs', tensor('FP32', [1], [3]))).status === 200, 'it answers again')
    const left = childrenOf(server.pid)
    void infer(server, 'hangs', tensor('FP32', [1], [2e6])).catch(() => {})
    await new Promise((resolve) => setTimeout(resolve, 100))
    server.signal('SIGTERM')
    assert.equal(typeof (await server.exit), 'number')
    await until(() => !left.some(alive), 'no process is left')
  })

  for (const second of [false, true])
    it(`in a thread, where somebody wants that, it keeps the server from ending no longer than its grace${second ? ', and a second signal ends it at once' : ''}`, async () => {
      await using folder = await temporaryFolder()
      await folder.write('hangs.onnx', hangsForLargeValues())
      const args = [`hangs=${folder.path}/hangs.onnx`, '--isolation', 'thread', '--run-timeout-ms', '500', '--instances', '1']
      await using server = await serveInChild([...args, '--drain-pause', '0ms', '--grace', second ? '60s' : '1s'])
      assert.equal((await infer(server, 'hangs', tensor('FP32', [1], [2e6]))).status, 504)
      const began = Date.now()
      server.signal('SIGTERM')
      if (second) {
        await new Promise((resolve) => setTimeout(resolve, 300))
        server.signal('SIGTERM')
      }
      await Promise.race([server.exit, new Promise((resolve) => setTimeout(resolve, 20_000))])
      assert.equal(alive(server.pid), false, `it still runs ${Date.now() - began} ms later: ${server.said().slice(-500)}`)
    })

  it('keeps nobody from stopping while it loads', async () => {
    await using folder = await temporaryFolder()
    await folder.write('hangs.onnx', hangsForAllValues())
    const child = spawn(process.execPath, [join(ROOT, 'bin/slipway'), 'serve', `${folder.path}/hangs.onnx`, '--port', '0', '--grace', '1s'])
    const exit = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
    await until(() => childrenOf(child.pid!).length > 0, 'it is tried')
    const left = childrenOf(child.pid!)
    await new Promise((resolve) => setTimeout(resolve, 500))
    child.kill('SIGTERM')
    const code = await Promise.race([exit, new Promise((resolve) => setTimeout(resolve, 15_000))])
    child.kill('SIGKILL')
    assert.equal(typeof code, 'number', 'it has ended by itself')
    await until(() => !left.some(alive), 'and left nothing')
  })

  it('holds up the next version of no other model while it loads', async () => {
    await using folder = await temporaryFolder()
    for (const name of ['a', 'm']) await folder.write(`all/${name}/1/model.onnx`, addingModel(1))
    const args = [`${folder.path}/all`, '--poll-ms', '200', '--run-timeout-ms', '120000', '--drain-pause', '0ms', '--grace', '1s']
    await using server = await serveInChild(args)
    const version = async (model: string): Promise<string> =>
      (JSON.parse((await infer(server, model, QUESTION)).text) as { model_version: string }).model_version
    await folder.write('all/a/2/model.onnx', hangsForAllValues())
    await until(async () => (await ask(`${server.url}/health`)).text.includes('loading'), 'it is being loaded')
    await folder.write('all/m/2/model.onnx', addingModel(2))
    await until(async () => (await version('m')) === '2', 'the version of another model is served', 30_000)
    assert.equal(await version('a'), '1', 'and what served goes on')
  })

  it('leaves no process behind where its server is killed', async () => {
    await using folder = await temporaryFolder()
    await folder.write('hangs.onnx', hangsForLargeValues())
    await using server = await serveInChild([`hangs=${folder.path}/hangs.onnx`, '--instances', '1'])
    void infer(server, 'hangs', tensor('FP32', [1], [2e6])).catch(() => {})
    await new Promise((resolve) => setTimeout(resolve, 300))
    const left = childrenOf(server.pid)
    assert.ok(left.length > 0)
    server.signal('SIGKILL')
    await server.exit
    await until(() => !left.some(alive), 'its processes end with it')
  })
})

describe('a model whose answer is as large as a value says', () => {
  it('is served where it can be ended, and what is too large is refused by name', async () => {
    await using folder = await temporaryFolder()
    await folder.write('all/m/1/model.onnx', addingModel(1))
    await folder.write('all/large/1/model.onnx', asLargeAsItsValue())
    await using server = await serveInChild([`${folder.path}/all`, '--instances', '1', '--memory-limit-mb', '1500'])
    const large = (elements: number): Promise<Asked> => infer(server, 'large', tensor('INT64', [1], [elements]))
    assert.equal((await large(3)).status, 200)
    const much = large(100_000_000)
    assert.ok((await slowestMeanwhile(server, much)) < 1500)
    const { status, text } = await much
    assert.equal(status, 413, text.slice(0, 300))
    assert.match(text, /maxOutputBytes/)
    // What was refused may have been too much for the process all the same: then another takes its place.
    let most = await large(GB)
    await until(async () => most.status !== 503 || (most = await large(GB)).status !== 503, 'there is a process')
    assert.equal(most.status, 507, most.text.slice(0, 300))
    assert.match(most.text, /the limit is 1500 MB/)
    await until(async () => (await large(3)).status === 200, 'it answers again')
  })

  it('is refused before it runs where the names of dimensions tell', async () => {
    await using folder = await temporaryFolder()
    await folder.write('wide.onnx', wide())
    await using model = await loadModel(`${folder.path}/wide.onnx`, { instances: 1 })
    const question = (columns: number) => [{ name: 'x', datatype: 'FP32' as const, shape: [1, columns], data: new Float32Array(columns) }]
    assert.equal((await model.infer(question(10)))[0]!.shape[2], 1000)
    await assert.rejects(model.infer(question(100_000)), {
      code: 'SLW_OUTPUT_TOO_LARGE',
      message: /an answer to inputs of these shapes has 381 MiB/,
    })
  })
})

describe('a model that ends its process for some values', () => {
  it('ends no other: the request is told, others go on, and so does the model', async () => {
    await using folder = await temporaryFolder()
    await folder.write('all/m/1/model.onnx', addingModel(1))
    await folder.write(
      'all/divides/1/model.onnx',
      buildModel({
        input: [value('a', 'INT64', [1]), value('b', 'INT64', [1])],
        output: [value('y', 'INT64', [1])],
        node: [node('Div', ['a', 'b'], ['y'])],
      }),
    )
    await using server = await serveInChild([`${folder.path}/all`, '--instances', '1'])
    // A number of 64 bits, which JSON alone can say exactly.
    const divide = async (a: string, b: string): Promise<Asked> =>
      await ask(`${server.url}/v2/models/divides/infer`, {
        method: 'POST',
        body: `{"inputs":[${[
          ['a', a],
          ['b', b],
        ]
          .map(([name, number]) => `{"name":"${name}","datatype":"INT64","shape":[1],"data":[${number}]}`)
          .join(',')}]}`,
      })
    const fine = await divide('7', '2')
    assert.equal(fine.status, 200, fine.text)
    assert.match(server.said(), /Div divides integers/)
    for (let round = 0; round < 2; round++) {
      const { status, text } = await divide('-9223372036854775808', '-1')
      assert.ok(status >= 500, text)
      assert.match(text, /SIGFPE|ended/)
      assert.equal((await infer(server, 'm', QUESTION)).status, 200)
      await until(async () => (await divide('7', '2')).status === 200, 'it answers again', 30_000)
    }
  })
})

describe('what a graph may do is known before it runs', () => {
  it('a file of two kilobytes with hundreds of millions of nodes is refused before it is loaded', async () => {
    await using folder = await temporaryFolder()
    await folder.write('nested.onnx', nested(28))
    const began = performance.now()
    await assert.rejects(loadModel(`${folder.path}/nested.onnx`), { code: 'SLW_MODEL_UNSAFE', message: /268435456 nodes/ })
    assert.ok(performance.now() - began < 5000)
    await folder.write('fine.onnx', nested(5))
    await using model = await loadModel(`${folder.path}/fine.onnx`, { instances: 1 })
    assert.deepEqual(model.details.package.file.openEnded, { duration: undefined, end: undefined, size: undefined, trap: undefined })
  })

  it('loops that a value can draw out are told from those that count', async () => {
    await using folder = await temporaryFolder()
    const openOf = async (bytes: Uint8Array) => {
      await folder.write('x.onnx', bytes)
      return (await inspectOnnx(`${folder.path}/x.onnx`)).openEnded
    }
    assert.match((await openOf(hangsForLargeValues())).end!, /^If has a Loop inside that goes on as long as values say$/)
    const counted = await openOf(countsToTen())
    assert.deepEqual([counted.end, counted.size], [undefined, undefined])
    assert.match(counted.duration!, /^Loop runs the graphs inside it/)
    assert.match((await openOf(asLargeAsItsValue())).size!, /^Expand makes an output as large as the values of "x" say$/)
    // A number of rounds that a request may give in the place of a default, or that is worked out, is none that the model gives.
    assert.match((await openOf(countsTo('default'))).end!, /^Loop goes on as long as values say$/)
    assert.match((await openOf(countsTo('product'))).end!, /^Loop goes on/)
    assert.equal((await openOf(countsTo('shape'))).end, undefined)
    assert.match((await openOf(countsTo('largest'))).end!, /^Loop goes on/)
    // An If whose branches have fixed sizes is no reason for anything but not to run inline.
    const padded = await openOf(padsIfPositive())
    assert.deepEqual([padded.end, padded.size], [undefined, undefined])
    assert.match(padded.duration!, /^If /)
    assert.deepEqual(await openOf(addingModel(1)), { duration: undefined, end: undefined, size: undefined, trap: undefined })
  })
})
