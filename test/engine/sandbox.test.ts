import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { pythonEnv } from '../../scripts/python-env.ts'
import { pythonFrames } from '../../src/engine/python-frames.ts'
import { loadModel } from '../../src/library/load-model.ts'
import { ROOT } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { Model } from '../../src/library/load-model.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

interface Answers {
  readonly rows: readonly (readonly number[])[]
  readonly digits: readonly number[]
  readonly shares: readonly (readonly number[])[]
  readonly bill: readonly number[]
}

const run = promisify(execFile)

describe('a model of Python in the sandbox', () => {
  let folder: TemporaryFolder
  let python: string
  let answers: Answers

  before(async () => {
    folder = await temporaryFolder()
    python = await pythonEnv('mlflow-3')
    const { stdout } = await run(python, [join(import.meta.dirname, 'sandbox/models.py'), folder.path], { maxBuffer: 1 << 26 })
    answers = JSON.parse(stdout.trim().split('\n').at(-1)!) as Answers
  })
  after(() => folder[Symbol.asyncDispose]())

  const load = (name: string, sandboxPython = python): Promise<Model> =>
    loadModel(join(folder.path, name), { sandboxPython, instances: 1, memoryLimitMb: 1024 })
  const refusal = async (name: string): Promise<string> => {
    try {
      await using _ = await load(name)
    } catch (error) {
      return (error as Error).message
    }
    return 'it was loaded'
  }

  it('answers what scikit-learn answers, from a pickle, from a skops archive, and from a table with text in it', async () => {
    for (const name of ['digits', 'skops']) {
      await using model = await load(name)
      const found = await model.predict(answers.rows.map((input) => ({ input })))
      assert.deepEqual(
        (found as unknown as { prediction: number }[]).map(({ prediction }) => prediction),
        answers.digits,
        name,
      )
      assert.equal(model.details.serving.isolation, 'process')
    }
    await using shares = await load('shares')
    const found = await shares.predict(answers.rows.slice(0, 3).map((input) => ({ input })))
    assert.deepEqual(
      (found as unknown as { prediction: number[] }[]).map(({ prediction }) => prediction),
      answers.shares,
    )
    await using bill = await load('bill')
    assert.deepEqual(
      await bill.predict([
        { age: 2, plan: 'b' },
        { age: 7.5, plan: 'never seen' },
      ]),
      answers.bill.map((prediction) => ({ prediction })),
    )
    await assert.rejects(bill.predict({ age: Number.NaN, plan: 'b' }), { code: 'SLW_RUN_REJECTED', message: /contains NaN/ })
    assert.equal(((await bill.predict({ age: 2, plan: 'b' })) as { prediction: number }).prediction, answers.bill[0])
  })

  it('is refused where there is no sandbox, whoever loads it', async () => {
    await assert.rejects(loadModel(join(folder.path, 'digits')), {
      code: 'SLW_MODEL_UNSAFE',
      message: /model\.pkl is a pickle of scikit-learn, which runs code when it is loaded.*ONNX.*--sandbox-python/,
    })
    const { stderr } = await run(join(ROOT, 'bin/slipway'), ['serve', join(folder.path, 'skops'), '--port', '0']).catch(
      (error: { stderr: string }) => error,
    )
    assert.match(stderr, /model\.skops is a skops archive of scikit-learn, which runs code.*SLW_MODEL_UNSAFE/s)
  })

  it('a file that names what no such model is made of is not read on, and nothing of it has run', async () => {
    const named = {
      system: 'posix.system',
      eval: 'builtins.eval',
      import: 'builtins.__import__',
      datasets: 'sklearn.datasets._openml.fetch_openml',
      memmap: 'numpy.memmap',
      dotted: 'sklearn.base.np.f2py.os.system',
      borrowed: 'sklearn.base.defaultdict',
    }
    const pathOf = (name: string): string => join(folder.path, name, 'model.pkl')
    const paths = [...Object.keys(named), 'huge', 'text'].map(pathOf)
    const script = join(import.meta.dirname, 'sandbox/refused.py')
    const { stdout } = await run(python, ['-I', script, join(ROOT, 'src/engine/python'), ...paths])
    const said = JSON.parse(stdout) as Record<string, string>
    for (const [name, what] of Object.entries(named))
      assert.equal(said[pathOf(name)], `it names ${what}, which no model of scikit-learn is made of; it was not imported`, name)
    assert.match(said[pathOf('huge')]!, /Unable to allocate 16\.0 GiB/)
    assert.match(said[pathOf('text')]!, /invalid load key|pickle data was truncated|unpickling stack/)
    assert.match(await refusal('system'), /it names posix\.system/)
    assert.match(await refusal('list'), /list has no predict/)
    assert.equal(existsSync(join(folder.path, 'was-here')), false)
  })

  it('what does not fit is said: another release of scikit-learn, no signature, another flavour, no Python, no scikit-learn', async () => {
    const mlmodel = await readFile(join(folder.path, 'digits/MLmodel'), 'utf8')
    const version = /sklearn_version: (\S+)/.exec(mlmodel)![1]!
    const change = async (from: RegExp, to: string): Promise<string> => {
      await folder.write('changed/MLmodel', mlmodel.replace(from, to))
      await writeFile(join(folder.path, 'changed/model.pkl'), await readFile(join(folder.path, 'digits/model.pkl')))
      return await refusal('changed')
    }
    assert.match(
      await change(/sklearn_version: \S+/, 'sklearn_version: 0.24.2'),
      new RegExp(`saved with scikit-learn 0\\.24\\.2, and the Python of this server has ${version}; install scikit-learn==0\\.24\\.2`),
    )
    assert.match(await change(/predict_fn: predict/, 'predict_fn: __reduce__'), /predict_fn "__reduce__" is none of predict, /)
    assert.match(await change(/pickled_model: \S+/, 'pickled_model: ../digits/model.pkl'), /pickled_model names no file beside it/)
    assert.match(await change(/pickled_model: \S+/, 'pickled_model: other.pkl'), /other\.pkl, which MLmodel names, is not there/)
    assert.match(await change(/\n {2}sklearn:/, '\n  keras:'), /flavours that MLmodel names .*keras.* export the model to ONNX/)
    assert.match(await refusal('unsigned'), /MLmodel has no signature.*infer_signature/)
    await assert.rejects(load('digits', join(folder.path, 'no-python')), /ENOENT/)
    await assert.rejects(load('digits', await pythonEnv('s3')), /has no module sklearn/)
  })

  it('nothing is left of a worker whose load failed', async () => {
    const left = []
    for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
      const [command, parent] = await Promise.all([
        readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''),
        readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ''),
      ])
      const fields = parent.slice(parent.lastIndexOf(')') + 2).split(' ')
      if (command.includes('engine/python/worker.py') && Number(fields[1]) === process.pid && fields[0] !== 'Z') left.push(pid)
    }
    assert.deepEqual(left, [])
  })
})

it('a process that has confined itself can do nothing but compute', async () => {
  await using folder = await temporaryFolder()
  await folder.write('keep', '')
  const { stdout } = await run(await pythonEnv('s3'), [
    '-I',
    join(import.meta.dirname, 'sandbox/escapes.py'),
    join(ROOT, 'src/engine/python'),
    folder.path,
  ])
  const { tried, could } = JSON.parse(stdout) as { tried: number; could: string[] }
  assert.ok(tried > 20)
  assert.deepEqual(could, [])
  assert.deepEqual(await readdir(folder.path), ['keep'])
})

describe('messages of a worker', () => {
  const outputs = [
    { name: 'y', datatype: 'FP32', shape: [-1, 2], dimensionNames: [undefined, undefined] },
    { name: 't', datatype: 'BYTES', shape: [-1], dimensionNames: [undefined] },
  ] as const

  /** What comes of these bytes: a message, or why there is none. */
  function received(header: unknown, blob: Uint8Array = Buffer.alloc(0), pieces = 1): unknown {
    const pipe = new PassThrough()
    let found: unknown = 'nothing'
    pythonFrames({ inputs: [], outputs })(
      pipe,
      (message) => (found = message),
      (error) => (found = (error as Error).message),
    )
    const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
    const prefix = Buffer.alloc(8)
    prefix.writeUInt32LE(4 + text.length + blob.length, 0)
    prefix.writeUInt32LE(text.length, 4)
    const all = Buffer.concat([prefix, text, blob])
    const size = Math.ceil(all.length / pieces)
    for (let start = 0; start < all.length; start += size) pipe.emit('data', all.subarray(start, start + size))
    return found
  }
  const result = {
    type: 'result',
    id: 7,
    shapes: [[1, 2], [2]],
    data: [8, 11],
    computeUs: 5,
  }
  const numbers = Buffer.from(Float32Array.of(1.5, -2).buffer)
  const both = Buffer.concat([numbers, Buffer.from('\x01\0\0\0a\x02\0\0\0ü')])

  it('become tensors, however they are cut', () => {
    for (const pieces of [1, 2, 9, 200])
      assert.deepEqual(received(result, both, pieces), {
        type: 'result',
        id: 7,
        shapes: [[1, 2], [2]],
        data: [Float32Array.of(1.5, -2), ['a', 'ü']],
        computeUs: 5,
      })
  })

  it('that lie are errors, not memory', () => {
    const wrong: readonly [unknown, RegExp, Uint8Array?][] = [
      ['no JSON', /JSON/],
      [[1], /expected an object/],
      [{ type: 'exec' }, /a message of the type "exec"/],
      [{ ...result, shapes: [[1, 2]] }, /2 outputs for 2/],
      [{ ...result, shapes: [[1, -2], [2]] }, /expected a number/],
      [{ ...result, shapes: [[1e9, 1e9], [2]] }, /takes 4000000000000000000 bytes of binary data, found 8/],
      [{ ...result, data: [4, 11] }, /takes 8 bytes of binary data, found 4/],
      [{ ...result, data: [8, 2 ** 52] }, /2 BYTES elements do not fit in 0 bytes/, numbers],
      [{ ...result, shapes: [[1, 2], [3]] }, /element 2 of 3 is missing|do not fit/],
      [{ ...result, id: '7' }, /expected a number/],
      [{ ...result, more: 'x'.repeat(70_000) }, /a header of 70\d+ bytes/],
    ]
    for (const [header, expected, blob = both] of wrong) assert.match(String(received(header, blob)), expected, JSON.stringify(header))
    const pipe = new PassThrough()
    let found = ''
    pythonFrames({ inputs: [], outputs })(
      pipe,
      () => assert.fail('no message'),
      (error) => (found = (error as Error).message),
    )
    pipe.emit('data', Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]))
    assert.match(found, /an answer of \d+ bytes/)
    assert.deepEqual(received({ type: 'load-failed', error: { code: 'SLW_UNAUTHENTICATED', message: 'x'.repeat(9000) } }), {
      type: 'load-failed',
      error: { code: 'SLW_LOAD_FAILED', message: 'x'.repeat(2000) },
    })
  })
})
