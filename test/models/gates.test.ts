import assert from 'node:assert/strict'
import { systemClock } from '../../src/core/clock.ts'
import { generateKeyPairSync } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { join } from 'node:path'
import { Contents } from '../../src/files/contents.ts'
import { Inspector } from '../../src/models/inspector.ts'
import { GateResults } from '../../src/models/gate-results.ts'
import { unmetGates } from '../../src/models/unmet-gates.ts'
import { Registry } from './registry.ts'
import { Signers } from '../../src/models/signers.ts'
import { filesBelow } from '../../src/files/file-trees.ts'
import { signModel } from '../../src/security/model-signing.ts'
import { contentId } from '../../src/core/content-digest.ts'
import { openFileStore } from '../../src/storage/objects/file-store.ts'
import { example } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { addFile, ANNA, eachRegistry, NOBODY } from './in-registry.ts'
import type { GateReport, GateResult } from '../../src/contract/gate-report.ts'
import type { Inspection } from '../../src/contract/inspection.ts'
import type { Database } from '../../src/storage/sql/database.ts'
import type { Ground } from '../../src/ledger/scope.ts'

/** A registry that takes the text of `signature.json` for what its model takes. */
function judging(ground: Ground): Registry {
  return new Registry(ground, async (files): Promise<Inspection> => {
    const width = Number(files?.find(({ path }) => path.startsWith('width-'))?.path.slice('width-'.length) ?? 0)
    if (width === 0) return { servable: false, reason: 'no width', scan: [] }
    return {
      servable: true,
      signature: { inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, width] }], outputs: [] },
      scan: [{ check: 'model', passed: true, detail: `width ${width}` }],
    }
  })
}

/** Versions of model `m` whose inputs have these widths. */
async function versionsOf(registry: Registry, database: Database, widths: readonly number[]): Promise<void> {
  await registry.models.create(ANNA, { name: 'm' })
  for (const width of widths) {
    const run = await registry.runs.create(ANNA, { experimentId: '0' })
    await addFile(database, `run:${run.id}`, `model/width-${width}`, `${width}`)
    await registry.versions.create(ANNA, 'm', { source: `runs:/${run.id}/model` })
  }
}

eachRegistry('an alias does not move to what would break its clients, unless somebody says so', async ({ ground }, database) => {
  const registry = judging(ground)
  const { aliases, versions } = registry
  await versionsOf(registry, database, [4, 4, 5, 0])
  const move = (version: number, allowBreaking = false) =>
    aliases.set(ANNA, 'm', { alias: 'live', version: String(version), allowBreaking }, NOBODY)
  await move(1)
  await move(2)
  await assert.rejects(move(3), (error: Error & { code: string; issues: { path: string }[] }) => {
    assert.equal(error.code, 'SLW_CONTRACT_BREAKING')
    assert.match(error.message, /"x" was \[-1, 4\], is \[-1, 5\].*slipway alias set m@live 3 --allow-breaking/)
    assert.deepEqual(
      error.issues.map(({ path }) => path),
      ['inputs.x.shape'],
    )
    return true
  })
  assert.equal((await aliases.resolve(ANNA, 'm', 'live'))?.number, 2, 'a refused move moves nothing')
  // What nothing is known of can be no promise broken.
  await move(4)
  await move(2)
  await aliases.set(ANNA, 'm', { alias: 'new', version: '3' }, NOBODY)
  await move(3, true)
  await move(2, true)
  await versions.setTag(ANNA, 'm', '3', { key: 'slipway.allow_breaking', value: 'true' })
  await move(3)
})

eachRegistry('gated aliases ask for an approval and a signature, and say what would help', async ({ ground }, database) => {
  const registry = judging(ground)
  const { aliases, versions, models } = registry
  await models.create(ANNA, { name: 'other' })
  await assert.rejects(models.update(ANNA, 'other', { policy: { signedBy: ['nobody'] } }), { code: 'SLW_NOT_FOUND' })
  await versionsOf(registry, database, [4])
  assert.equal((await versions.get(ANNA, 'm', '1')).approval, 'none')
  await models.update(ANNA, 'm', { policy: { gatedAliases: ['live'], approval: true } })
  const run = await registry.runs.create(ANNA, { experimentId: '0' })
  await addFile(database, `run:${run.id}`, 'model/width-4', '4')
  assert.equal((await versions.create(ANNA, 'm', { source: `runs:/${run.id}/model` })).approval, 'pending')
  await aliases.set(ANNA, 'm', { alias: 'candidate', version: '2' }, NOBODY)
  await assert.rejects(
    aliases.set(ANNA, 'm', { alias: 'live', version: '2' }, NOBODY),
    /gated: m\/2 is pending: slipway model approve m\/2/,
  )
  await versions.judge({ ...ANNA, actor: 'bea' }, 'm', '2', { approval: 'rejected', reason: 'too old' })
  await assert.rejects(aliases.set(ANNA, 'm', { alias: 'live', version: '2' }, NOBODY), { code: 'SLW_POLICY_REFUSED' })
  const judged = await versions.judge({ ...ANNA, actor: 'bea' }, 'm', '2', { approval: 'approved', reason: 'seen' })
  assert.deepEqual([judged.approval, judged.approvalBy, judged.approvalReason], ['approved', 'bea', 'seen'])
  await aliases.set(ANNA, 'm', { alias: 'live', version: '2' }, NOBODY)
})

eachRegistry('a signature is kept if it holds, and opens a gate that asks for it', async ({ ground }, database) => {
  await using folder = await temporaryFolder()
  await using objects = await openFileStore(join(folder.path, 'objects'))
  const contents = new Contents({ ...ground, objects })
  const registry = judging(ground)
  const signers = new Signers(ground, contents)
  await registry.models.create(ANNA, { name: 'm' })
  // Larger than a chunk, so that its SHA-256 is not known from the upload.
  const bytes = [Buffer.from('weights'), Buffer.alloc(9 * 1024 * 1024, 7)]
  const files: { path: string; contentId: string; size: number }[] = []
  for (const [index, piece] of bytes.entries()) {
    const content = await contents.receive(Readable.from([piece]), async (write, digest) => {
      await write
        .insertInto('holds')
        .values({ id: `h${index}`, content_id: digest.id, expires_at: Number.MAX_SAFE_INTEGER })
        .execute()
      return digest
    })
    files.push({ path: index === 0 ? 'width-4' : 'large.bin', contentId: content.id, size: 0 })
  }
  const { version, created } = await registry.versions.push(ANNA, 'm', { files })
  assert.deepEqual([version.number, created, version.size], [1, true, 7 + bytes[1]!.length])
  const again = await registry.versions.push(ANNA, 'm', { files: files.toReversed() })
  assert.deepEqual([again.version.number, again.created], [1, false], 'the same files are the same version')
  const unknown = [{ path: 'a', contentId: contentId(1, ['00']), size: 1 }]
  await assert.rejects(registry.versions.push(ANNA, 'm', { files: unknown }), { code: 'SLW_NOT_FOUND' })
  await assert.rejects(registry.versions.push(ANNA, 'm', { files: [{ ...files[0]!, path: '../x' }] }), { code: 'SLW_INPUT_INVALID' })
  await assert.rejects(registry.versions.push(ANNA, 'm', { files: [files[0]!, files[0]!] }), /there twice/)

  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const digested = await Promise.all(
    (await filesBelow(database.read, `version:${version.id}`)).map(async ({ path, contentId: id }) => ({
      path,
      sha256: await contents.sha256Of(id),
    })),
  )
  const bundle = signModel({ name: 'm', files: digested, key })
  await assert.rejects(signers.attach(ANNA, 'm', '1', bundle), /whom nobody here believes/)
  const signer = await signers.add(ANNA, 'release', pem)
  assert.deepEqual([signer.kind, signer.name], ['key', 'release'])
  await assert.rejects(signers.add(ANNA, 'release', pem), { code: 'SLW_ALREADY_EXISTS' })
  await registry.models.update(ANNA, 'm', { policy: { gatedAliases: ['live'], signedBy: ['release'] } })
  await assert.rejects(registry.aliases.set(ANNA, 'm', { alias: 'live', version: '1' }, NOBODY), /signed by none of release/)
  const other = signModel({ name: 'm', files: digested.slice(1), key })
  await assert.rejects(signers.attach(ANNA, 'm', '1', other), { code: 'SLW_SIGNATURE_INVALID' })
  assert.equal((await signers.attach(ANNA, 'm', '1', bundle)).signer, 'release')
  await registry.aliases.set(ANNA, 'm', { alias: 'live', version: '1' }, NOBODY)
  assert.deepEqual(
    (await signers.signaturesOf(ANNA, 'm', '1')).map((kept) => kept.signer),
    ['release'],
  )
  await assert.rejects(signers.remove(ANNA, 'release'), /asked for by the policies of m/)
  await registry.models.update(ANNA, 'm', { policy: {} })
  await signers.remove(ANNA, 'release')
  assert.deepEqual(await signers.list(ANNA), [])
})

eachRegistry('files are looked at once, and again when that is asked for', async ({ ground }) => {
  await using folder = await temporaryFolder()
  await using objects = await openFileStore(join(folder.path, 'objects'))
  const contents = new Contents({ ...ground, objects })
  let tried = 0
  const signature = { inputs: [], outputs: [] }
  const tryOut = async () => {
    if (++tried === 1) throw new Error('no memory was left')
    return { detail: 'loads and runs', signature }
  }
  const { inspect } = new Inspector({ contents, folder: folder.path, tryOut, clock: systemClock, ending: new AbortController().signal })
  const registry = new Registry(ground, inspect)
  const bytes = await readFile(join(example('churn'), 'model.onnx'))
  const { id } = await contents.receive(Readable.from([bytes]), async (write, digest) => {
    const hold = { id: 'h', content_id: digest.id, expires_at: Number.MAX_SAFE_INTEGER }
    await write.insertInto('holds').values(hold).execute()
    return digest
  })
  const push = async (model: string) => {
    await registry.models.create(ANNA, { name: model })
    return (await registry.versions.push(ANNA, model, { files: [{ path: 'model.onnx', contentId: id, size: 0 }] })).version
  }
  const refused = await push('first')
  assert.deepEqual([refused.servable, refused.servableReason], [false, 'no memory was left'])
  assert.equal((await push('second')).servable, false, 'of the same files the same is known')
  assert.equal(tried, 1)
  const passed = await registry.versions.inspectAgain(ANNA, 'first', '1')
  assert.deepEqual([passed.servable, passed.servableReason], [true, undefined])
  assert.deepEqual(passed.signature, signature, 'it is what the answers have shown')
  assert.equal((await push('third')).servable, true)
  assert.equal(tried, 2)
})

eachRegistry(
  'a model is looked at wherever a server finds it: in a folder of Triton, and of the Hub of Hugging Face',
  async ({ ground }) => {
    await using folder = await temporaryFolder()
    await using objects = await openFileStore(join(folder.path, 'objects'))
    const contents = new Contents({ ...ground, objects })
    const tryOut = () => Promise.resolve({ detail: 'loads and runs', signature: { inputs: [], outputs: [] } })
    const { inspect } = new Inspector({ contents, folder: folder.path, tryOut, clock: systemClock, ending: new AbortController().signal })
    const model = await readFile(join(example('churn'), 'model.onnx'))
    const look = async (files: Readonly<Record<string, Uint8Array | string>>) => {
      const kept = Object.entries(files).map(async ([path, bytes]) => {
        const { id } = await contents.receive(Readable.from([Buffer.from(bytes)]), async (write, digest) => {
          const hold = { id: path, content_id: digest.id, expires_at: Number.MAX_SAFE_INTEGER }
          await write
            .insertInto('holds')
            .values(hold)
            .onConflict((conflict) => conflict.doNothing())
            .execute()
          return digest
        })
        return { path, contentId: id, size: bytes.length }
      })
      const { servable, reason } = await inspect(await Promise.all(kept), { actor: 'anna' })
      return servable ? 'servable' : reason
    }
    assert.equal(await look({ 'config.pbtxt': 'max_batch_size: 8', 'model.onnx/model.onnx': model }), 'servable')
    assert.equal(await look({ 'config.json': '{}', 'onnx/model.onnx': model }), 'servable')
    assert.match(
      (await look({ 'onnx/model.onnx': model, 'notes.txt': 'x' }))!,
      /its model is onnx\/model\.onnx, and a server looks for one beside/,
    )
    assert.match((await look({ 'config.pbtxt': 'backend: "python"', 'model.py': 'pass' }))!, /it has no model\.onnx/)
    assert.match((await look({ 'config.pbtxt': 'max_batch_size: oh', 'model.onnx': model }))!, /config\.pbtxt: line 1/)
  },
)

eachRegistry(
  'files that change while they are looked at are looked at again, and no number is lost to that',
  async ({ ground }, database) => {
    let looks = 0
    let changes = 1
    const registry = new Registry(ground, async () => {
      if (looks++ < changes) await addFile(database, `run:${run.id}`, `model/file-${looks}`)
      return { servable: true, scan: [] }
    })
    await registry.models.create(ANNA, { name: 'm' })
    const run = await registry.runs.create(ANNA, { experimentId: '0' })
    const source = { source: `runs:/${run.id}/model` }
    await addFile(database, `run:${run.id}`, 'model/file-0')
    assert.equal((await registry.versions.create(ANNA, 'm', source)).number, 1)
    assert.equal(looks, 2)
    const before = await registry.models.get(ANNA, 'm')
    changes = Infinity
    await assert.rejects(registry.versions.create(ANNA, 'm', source), { code: 'SLW_CONFLICT', message: /go on changing/ })
    assert.deepEqual(await registry.models.get(ANNA, 'm'), before)
    changes = 0
    assert.equal((await registry.versions.create(ANNA, 'm', source)).number, 2)
  },
)

/** A report of a gate whose only result has this verdict. */
function report(verdict: GateResult['verdict'], more: Partial<GateReport> = {}): GateReport {
  const result: GateResult = { name: 'accuracy', check: 'metrics', verdict, severity: 'error', sentence: 'it is 0.5', numbers: {} }
  return { gate: 'release', subject: 'm/1', datasets: [], results: [result], notes: [], machine: 'here', at: 1, ...more }
}

eachRegistry('gated aliases ask that gates have passed, and say which one waits for what', async ({ ground }, database) => {
  const registry = judging(ground)
  const { aliases, versions, models, history } = registry
  const results = new GateResults(ground)
  await versionsOf(registry, database, [4, 4])
  const policy = { gatedAliases: ['live'], gates: ['release'] }
  await models.update(ANNA, 'm', { policy })
  const move = (alias: string, version = '1') => aliases.set(ANNA, 'm', { alias, version }, NOBODY)
  const refused = (message: RegExp) => assert.rejects(move('live'), { code: 'SLW_POLICY_REFUSED', message })
  await move('other')
  await refused(/^alias "live" of model "m" is gated: the gate "release" of m\/1 was not run: slipway gate m\/1 --gates FILE$/)
  await results.put(ANNA, 'm', '1', report('fail'))
  await refused(/the gate "release" of m\/1, run by anna, has failed \(accuracy: it is 0.5\): slipway gate m\/1/)
  await results.put(ANNA, 'm', '1', report('insufficient'))
  await refused(/had not enough data/)
  await results.put(ANNA, 'm', '1', report('pass', { results: [] }))
  await refused(/had not enough data: /)
  await results.put(ANNA, 'm', '1', report('pass'))
  await move('live')
  assert.deepEqual(
    (await versions.get(ANNA, 'm', '1')).gates.map(({ gate, verdict, createdBy }) => [gate, verdict, createdBy]),
    [['release', 'pass', 'anna']],
  )
  // The newest result counts, and only that of the version itself.
  await assert.rejects(move('live', '2'), { message: /the gate "release" of m\/2 was not run/ })
  await results.put(ANNA, 'm', '1', report('error'))
  await refused(/could not be run/)
  const [event] = await history.list(ANNA, { name: 'm/1' }, { limit: 1 })
  assert.deepEqual(event?.after, { gate: 'release', verdict: 'error', datasets: [] })
})

eachRegistry('a gate that warns waits for a person, and so does one that asks for one', async ({ ground }, database) => {
  const registry = judging(ground)
  const { aliases, versions, models } = registry
  const results = new GateResults(ground)
  await versionsOf(registry, database, [4])
  await models.update(ANNA, 'm', { policy: { gatedAliases: ['live'], gates: true } })
  const refused = (message: RegExp) =>
    assert.rejects(aliases.set(ANNA, 'm', { alias: 'live', version: '1' }, NOBODY), { code: 'SLW_POLICY_REFUSED', message })
  await refused(/no gate of m\/1 was run/)
  const [passed] = report('pass').results
  const warning: GateResult = { ...passed!, name: 'calibration', verdict: 'fail', severity: 'warning' }
  assert.equal((await results.put(ANNA, 'm', '1', report('pass', { results: [passed!, warning] }))).verdict, 'waiting')
  await refused(/m\/1 is not approved: slipway model approve m\/1$/)
  const unmet = async (gates: true | string[]) => {
    const version = await database.read.selectFrom('versions').selectAll().executeTakeFirstOrThrow()
    return await unmetGates(database.read, { model: 'm', version, gates })
  }
  assert.deepEqual(
    (await unmet(['approval', 'nightly', 'release'])).map(({ gate }) => gate),
    ['approval', 'nightly', 'release'],
  )
  await versions.judge(ANNA, 'm', '1', { approval: 'approved' })
  assert.deepEqual(await unmet(['approval', 'release']), [])
  assert.deepEqual(await unmet(true), [])
  await aliases.set(ANNA, 'm', { alias: 'live', version: '1' }, NOBODY)
  assert.equal((await versions.get(ANNA, 'm', '1')).gates[0]?.verdict, 'pass')
  await versions.judge(ANNA, 'm', '1', { approval: 'rejected' })
  assert.equal((await results.list(ANNA, 'm', '1'))[0]?.verdict, 'fail')
})
