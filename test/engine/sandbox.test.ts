import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Duplex } from 'node:stream'
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

  it('takes texts as a series, and what does not answer row by row is not loaded', async () => {
    await using model = await load('texts')
    assert.deepEqual(await model.predict(['bad day', 'good night'].map((input) => ({ input }))), [
      { prediction: 'no' },
      { prediction: 'yes' },
    ])
    assert.match(await refusal('frame'), /the model gave an answer of shape \[1\] for 2 rows/)
    await assert.rejects(load('digits', 'python-that-nobody-has'), {
      code: 'SLW_CONFIG_INVALID',
      message: /--sandbox-python\): there is no program python-that-nobody-has/,
    })
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
      addresses: 'numpy.ndarray() as a call',
      runs: 'numpy.f2py.__main__.main',
      getter: 'sklearn.feature_selection._base._get_feature_importances',
      called: 'f_classif() as a call',
      instance: '_Scorer() as a call',
      selects: "importance_getter='predict.__globals__'",
      mixin: "a state for 'TransformerMixin'",
      score: "a state for 'accuracy_score'",
      own: "a __setstate__ of an object's own",
    }
    const pathOf = (name: string): string => join(folder.path, name, 'model.pkl')
    const paths = [...Object.keys(named), 'huge', 'text'].map(pathOf)
    const script = join(import.meta.dirname, 'sandbox/refused.py')
    const { stdout } = await run(python, ['-I', '-B', script, join(ROOT, 'src/engine/python'), ...paths])
    const said = JSON.parse(stdout) as Record<string, string>
    for (const [name, what] of Object.entries(named))
      assert.equal(said[pathOf(name)], `it names ${what}, which no model of scikit-learn is made of`, name)
    assert.match(said[pathOf('huge')]!, /^MemoryError$/)
    assert.match(said[pathOf('text')]!, /invalid load key|pickle data was truncated|unpickling stack/)
    assert.match(await refusal('system'), /it names posix\.system/)
    assert.match(await refusal('list'), /list has no predict/)
    assert.equal(existsSync(join(folder.path, 'was-here')), false)
  })

  it('may be of most kinds that there are', async () => {
    const script = join(import.meta.dirname, 'sandbox/estimators.py')
    const { stdout } = await run(python, ['-I', '-B', script, join(ROOT, 'src/engine/python')])
    const { read, wrong } = JSON.parse(stdout) as { read: number; wrong: object }
    assert.ok(read > 20)
    assert.deepEqual(wrong, {})
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
    await assert.rejects(load('digits', join(folder.path, 'digits/MLmodel')), /EACCES/)
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

it('a process that has confined itself can do nothing but compute, on older kernels too', async () => {
  await using folder = await temporaryFolder()
  await folder.write('keep', 'as it was')
  const python = await pythonEnv('s3')
  // Versions of Landlock, of which the last has what this machine has.
  for (const version of ['1', '3', '5', '99']) {
    const script = join(import.meta.dirname, 'sandbox/escapes.py')
    const { stdout } = await run(python, ['-I', '-B', script, join(ROOT, 'src/engine/python'), folder.path, version])
    const { tried, could } = JSON.parse(stdout) as { tried: number; could: string[] }
    assert.ok(tried > 30)
    assert.deepEqual(could, [], version)
  }
  assert.deepEqual(await readdir(folder.path), ['keep'])
  assert.equal(await readFile(join(folder.path, 'keep'), 'utf8'), 'as it was')
})

describe('messages of a worker', () => {
  const outputs = [
    { name: 'y', datatype: 'FP32', shape: [-1, 2], dimensionNames: [undefined, undefined] },
    { name: 't', datatype: 'BYTES', shape: [-1], dimensionNames: [undefined] },
  ] as const

  /** Frames on which a run of two rows was asked for, and what came of what they were sent. */
  function asked(): { readonly send: (bytes: Uint8Array) => void; readonly found: () => unknown } {
    // What is sent goes nowhere: it is answered by `send`.
    const pipe = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
    let found: unknown = 'nothing'
    const ask = pythonFrames({ inputs: [], outputs })(
      pipe,
      (message) => (found = message),
      (error) => (found = (error as Error).message),
    )
    ask({ type: 'run', id: 7, data: [], shapes: [[2]], outputs: undefined })
    return { send: (bytes) => pipe.emit('data', bytes), found: () => found }
  }

  function frameOf(header: unknown, blob: Uint8Array = Buffer.alloc(0)): Buffer {
    const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
    const prefix = Buffer.alloc(8)
    prefix.writeUInt32LE(4 + text.length + blob.length, 0)
    prefix.writeUInt32LE(text.length, 4)
    return Buffer.concat([prefix, text, blob])
  }

  const result = {
    type: 'result',
    id: 7,
    shapes: [[2, 2], [2]],
    data: [16, 11],
    computeUs: 5,
  }
  const numbers = Buffer.from(Float32Array.of(1.5, -2, 0, 7).buffer)
  const both = Buffer.concat([numbers, Buffer.from('\x01\0\0\0a\x02\0\0\0ü')])

  it('become tensors, however they are cut', () => {
    const all = frameOf(result, both)
    for (const size of [1, 7, 50, all.length]) {
      const { send, found } = asked()
      for (let start = 0; start < all.length; start += size) send(all.subarray(start, start + size))
      assert.deepEqual(found(), {
        type: 'result',
        id: 7,
        shapes: [[2, 2], [2]],
        data: [Float32Array.of(1.5, -2, 0, 7), ['a', 'ü']],
        computeUs: 5,
      })
    }
  })

  it('that lie are errors, not memory', () => {
    const wrong: readonly [unknown, RegExp, Uint8Array?][] = [
      ['no JSON', /JSON/],
      [[1], /expected an object/],
      [{ type: 'exec', id: 7 }, /a message of the type "exec"/],
      [{ type: 'closed', id: 7 }, /a message of the type "closed"/],
      [{ ...result, id: 8 }, /an answer to another run/],
      [{ ...result, shapes: [[2, 2]] }, /2 outputs for 2/],
      [{ ...result, shapes: [[2, -2], [2]] }, /expected a number/],
      [{ ...result, shapes: [[2, 2, 4e9, 0], [2]] }, /output "y" of a shape that it cannot have/],
      [{ ...result, shapes: [[2, 3], [2]] }, /output "y" of a shape that it cannot have/],
      [{ ...result, shapes: [[1, 2], [2]] }, /output "y" of a shape that it cannot have/],
      [{ ...result, shapes: [[2, 2], [0]] }, /output "t" of a shape that it cannot have/],
      [{ ...result, data: [4, 11] }, /takes 16 bytes of binary data, found 4/],
      [{ ...result, data: [16, 2 ** 52] }, /2 BYTES elements do not fit in 0 bytes/, numbers],
      [{ ...result, more: 'x'.repeat(70_000) }, /a header of 70\d+ bytes/],
    ]
    for (const [header, expected, blob = both] of wrong) {
      const { send, found } = asked()
      send(frameOf(header, blob))
      assert.match(String(found()), expected, JSON.stringify(header).slice(0, 200))
    }
    const large = asked()
    large.send(Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]))
    assert.match(String(large.found()), /an answer of \d+ bytes/)
    const unasked = asked()
    unasked.send(Buffer.concat([frameOf(result, both), frameOf(result, both)]))
    assert.equal(unasked.found(), 'a message that nobody has asked for')
    const failed = asked()
    failed.send(frameOf({ type: 'run-failed', id: 7, error: { code: 'SLW_UNAUTHENTICATED', message: 'x'.repeat(9000) } }))
    assert.deepEqual(failed.found(), { type: 'run-failed', id: 7, error: { code: 'SLW_RUN_FAILED', message: 'x'.repeat(2000) } })
  })
})
