import { SlipwayError } from '../core/errors.ts'
import { isUniqueViolation } from '../storage/sql/statement-error.ts'
import { readSigner, requireSameFiles, verifyBundle } from '../security/model-signing.ts'
import { etagOf, requireSeen } from '../ledger/etag.ts'
import { record } from '../ledger/events.ts'
import { requireKey, requireLength } from '../ledger/keys.ts'
import { policyOf } from './policies.ts'
import { requireModel } from './models.ts'
import { requireVersion } from './read-versions.ts'
import { touch } from './touch.ts'
import { filesBelow } from '../files/file-trees.ts'
import type { Contents } from '../files/contents.ts'
import type { Ground, Scope } from '../ledger/scope.ts'

/** A signer whose signatures are trusted in an environment. */
export interface Signer {
  readonly etag: string
  /** SHA-256 of the PEM, as it stands in signatures. */
  readonly id: string
  readonly name: string
  readonly kind: 'key' | 'certificate'
  /** Public key, or certificate of an authority. */
  readonly pem: string
  readonly createdBy: string
  readonly createdAt: number
}

/** A signature of a version that was valid when it was attached. */
export interface VersionSignature {
  /** Name of the signer; its id if the signer is no longer trusted. */
  readonly signer: string
  readonly signerId: string
  readonly bundle: string
  readonly createdBy: string
  readonly createdAt: number
}

const BUNDLE_BYTES_MAX = 4 * 1024 * 1024

/** Trusted signers, and the signatures of versions. */
export class Signers {
  readonly #ground: Ground
  readonly #contents: Contents

  constructor(ground: Ground, contents: Contents) {
    this.#ground = ground
    this.#contents = contents
  }

  /** @param pem public key, or certificate of an authority. @throws SLW_INPUT_INVALID, SLW_ALREADY_EXISTS */
  async add(scope: Scope, name: string, pem: string): Promise<Signer> {
    requireKey('the name of a signer', name)
    const { database, clock } = this.#ground
    const signer = readSigner(pem)
    const now = clock.epochMs()
    const row = { ...signer, environment: scope.environment, name, created_by: scope.actor, created_at: now }
    try {
      await database.write(async (write) => {
        await write.insertInto('signers').values(row).execute()
        await record(write, scope, now, { kind: 'signer', name, action: 'created', after: { id: signer.id, kind: signer.kind } })
      })
    } catch (error) {
      if (!isUniqueViolation(error)) throw error
      throw new SlipwayError('SLW_ALREADY_EXISTS', `a signer called "${name}", or with this key, is there already`, { cause: error })
    }
    return toSigner(row)
  }

  async list(scope: Scope): Promise<Signer[]> {
    const rows = await this.#ground.database.read
      .selectFrom('signers')
      .selectAll()
      .where('environment', '=', scope.environment)
      .orderBy('name')
      .execute()
    return rows.map(toSigner)
  }

  /** Removes a signer; its signatures stay, but no longer count. @throws SLW_NOT_FOUND; SLW_CONFLICT if a policy names the signer */
  async remove(scope: Scope, name: string): Promise<void> {
    const { database, clock } = this.#ground
    const now = clock.epochMs()
    await database.write(async (write) => {
      const models = await write
        .selectFrom('models')
        .select(['name', 'policy'])
        .where('environment', '=', scope.environment)
        .where('deleted_at', 'is', null)
        .where('policy', '!=', '{}')
        .execute()
      const asked = models.filter((model) => policyOf(model).signedBy?.includes(name) === true)
      if (asked.length > 0)
        throw new SlipwayError(
          'SLW_CONFLICT',
          `signatures of "${name}" are asked for by the policies of ${asked.map((model) => model.name).join(', ')}`,
        )
      const gone = await write
        .deleteFrom('signers')
        .where('environment', '=', scope.environment)
        .where('name', '=', name)
        .returningAll()
        .executeTakeFirst()
      if (gone === undefined) throw new SlipwayError('SLW_NOT_FOUND', `there is no signer called "${name}"`)
      requireSeen(scope, `signer "${name}"`, etagOf(gone))
      await record(write, scope, now, { kind: 'signer', name, action: 'deleted', before: { id: gone.id } })
    })
  }

  /**
   * Stores a signature of a version if it is valid: by a trusted signer, over exactly the files of the version.
   * @throws SLW_SIGNATURE_INVALID
   */
  async attach(scope: Scope, model: string, number: string, bundle: string): Promise<VersionSignature> {
    requireLength('a signature', bundle, BUNDLE_BYTES_MAX)
    const { database, clock } = this.#ground
    const { read } = database
    const version = await requireVersion(read, await requireModel(read, scope, model), number)
    const { signer, model: signed } = verifyBundle(bundle, await this.list(scope))
    // The files of a version never change, so those read here are those that are signed.
    const files = await filesBelow(read, `version:${version.id}`)
    const digested: { path: string; sha256: string }[] = []
    for (const { path, contentId } of files) digested.push({ path, sha256: await this.#contents.sha256Of(contentId) })
    requireSameFiles(signed, digested)
    const now = clock.epochMs()
    const set = { bundle, created_by: scope.actor, created_at: now }
    await database.write(async (write) => {
      const parent = await requireModel(write, scope, model)
      await touch(write, 'versions', (await requireVersion(write, parent, number)).id, scope)
      await write
        .insertInto('version_signatures')
        .values({ version_id: version.id, signer_id: signer.id, ...set })
        .onConflict((conflict) => conflict.columns(['version_id', 'signer_id']).doUpdateSet(set))
        .execute()
      await record(write, scope, now, {
        kind: 'version',
        name: `${model}/${version.number}`,
        action: 'set',
        after: { signedBy: signer.name },
      })
    })
    return { signer: signer.name, signerId: signer.id, bundle, createdBy: scope.actor, createdAt: now }
  }

  async signaturesOf(scope: Scope, model: string, number: string): Promise<VersionSignature[]> {
    const { read } = this.#ground.database
    const version = await requireVersion(read, await requireModel(read, scope, model), number)
    const rows = await read
      .selectFrom('version_signatures')
      .selectAll()
      .where('version_id', '=', version.id)
      .orderBy('created_at')
      .execute()
    const names = new Map((await this.list(scope)).map(({ id, name }) => [id, name]))
    return rows.map((row) => ({
      signer: names.get(row.signer_id) ?? row.signer_id,
      signerId: row.signer_id,
      bundle: row.bundle,
      createdBy: row.created_by,
      createdAt: row.created_at,
    }))
  }
}

function toSigner(row: { id: string; name: string; kind: string; pem: string; created_by: string; created_at: number }): Signer {
  return {
    etag: etagOf(row),
    id: row.id,
    name: row.name,
    kind: row.kind as Signer['kind'],
    pem: row.pem,
    createdBy: row.created_by,
    createdAt: row.created_at,
  }
}
