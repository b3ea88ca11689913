import { countOf } from '../storage/sql/count-of.ts'
import { isDeepStrictEqual } from 'node:util'
import { sql } from 'kysely'
import { modelReference, modelsOf, resolveSpec, contradictionsIn } from '../contract/endpoint.ts'
import { isSlipwayError, SlipwayError, toSlipwayError } from '../core/errors.ts'
import { faultPoint } from '../core/fail-point.ts'
import { moveAlias } from '../models/aliases.ts'
import { nextNumber } from '../ledger/counters.ts'
import { record } from '../ledger/events.ts'
import { isUniqueViolation } from '../storage/sql/statement-error.ts'
import { bump, lockEndpoint, suspend } from './lock-endpoint.ts'
import { nextFollow } from './next-follow.ts'
import { findEndpoint, managerOf, requireEndpoint, specOf, toEndpoint, toEndpoints } from './read-endpoints.ts'
import { renewReceiptKey } from './receipt-keys.ts'
import { judge, lockModels, requireThere, resolveVariants } from './resolve.ts'
import { everServed, makeRevision, recordRevision, revisionOf, toRevision } from './revisions.ts'
import { asDeclared, atOnce } from './strategy.ts'
import { unsupported } from './targets.ts'
import type { ErrorCode, Issue } from '../core/errors.ts'
import type { Kysely, Selectable } from 'kysely'
import type { EndpointSpec, ManagedBy } from '../contract/endpoint.ts'
import type { AliasRights } from '../models/aliases.ts'
import type { Scope, Write } from '../ledger/scope.ts'
import type { MovedAlias } from '../models/dependents.ts'
import type { Schema } from '../storage/sql/schema.ts'
import type { EndpointsRow } from './tables.ts'
import type { DeclaredEndpoint } from './read-endpoints.ts'
import type { ResolvedVariant } from './resolve.ts'
import type { Cause, NewRevision, Revision } from './revisions.ts'
import type { Strategy } from './strategy-port.ts'
import type { DeliveryGround } from './ground.ts'

/** The declaration of an endpoint. */
export interface Declaration {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly spec: EndpointSpec
  readonly managedBy?: ManagedBy | undefined
}

export interface ApplyOptions {
  /** Allows versions that break clients of the versions before. */
  readonly allowBreaking?: boolean
  /** Checks everything, and stores nothing. */
  readonly dryRun?: boolean
}

export interface AppliedEndpoint {
  readonly change: 'created' | 'configured' | 'unchanged'
  /** The endpoint before; undefined if there was none. */
  readonly before: DeclaredEndpoint | undefined
  readonly after: DeclaredEndpoint
}

export interface RollbackOptions {
  /** The revision to return to. Default: the newest one that served something else. */
  readonly to?: number | undefined
  /** Rights to move the followed aliases, too, to the versions of that revision. Default: no alias moves. */
  readonly moveAlias?: AliasRights | undefined
  readonly dryRun?: boolean
}

/** Thrown to undo a transaction of which only the outcome is wanted. */
class DryRun extends Error {
  readonly outcome: AppliedEndpoint

  constructor(outcome: AppliedEndpoint) {
    super('dry run')
    this.outcome = outcome
  }
}

/** Endpoints as declared state: declarations, and the revisions made from them. */
export class Endpoints {
  readonly #ground: DeliveryGround

  constructor(ground: DeliveryGround) {
    this.#ground = ground
  }

  /** @throws SLW_NOT_FOUND */
  async get(scope: Scope, name: string): Promise<DeclaredEndpoint> {
    const { read } = this.#ground.database
    return await toEndpoint(read, await requireEndpoint(read, scope, name))
  }

  /**
   * A page of endpoints, in byte order of their names, by a fixed number of queries.
   * @param after the last name of the page before
   */
  async page(scope: Scope, limit: number, after?: string): Promise<{ endpoints: DeclaredEndpoint[]; total: number }> {
    const { read, dialect } = this.#ground.database
    const byBytes = dialect === 'postgres' ? sql<string>`name collate "C"` : sql<string>`name`
    const there = read.selectFrom('endpoints').where('environment', '=', scope.environment).where('deleted_at', 'is', null)
    const [rows, total] = await Promise.all([
      there
        .selectAll()
        .$if(after !== undefined, (all) => all.where(byBytes, '>', after!))
        .orderBy(byBytes)
        .limit(limit)
        .execute(),
      countOf(there),
    ])
    return { endpoints: await toEndpoints(read, rows), total }
  }

  /** The managers of all endpoints, by name. */
  async managers(scope: Scope): Promise<Map<string, ManagedBy | undefined>> {
    const rows = await this.#ground.database.read
      .selectFrom('endpoints')
      .select(['name', 'managed_by'])
      .where('environment', '=', scope.environment)
      .where('deleted_at', 'is', null)
      .execute()
    return new Map(rows.map((row) => [row.name, managerOf(row)]))
  }

  /** A page of the revisions of an endpoint, the newest first, and how many there are. @param page.before the last number of the page before. @throws SLW_NOT_FOUND */
  async revisions(
    scope: Scope,
    name: string,
    { limit, before }: { readonly limit: number; readonly before?: number | undefined },
  ): Promise<{ revisions: Revision[]; total: number }> {
    const { read } = this.#ground.database
    const { id } = await requireEndpoint(read, scope, name)
    const all = read.selectFrom('revisions').where('endpoint_id', '=', id)
    const rows = await all
      .selectAll()
      .$if(before !== undefined, (some) => some.where('number', '<', before!))
      .orderBy('number', 'desc')
      .limit(limit)
      .execute()
    return { revisions: rows.map(toRevision), total: await countOf(all) }
  }

  /** The models of all revisions of an endpoint; none if there is no such endpoint. */
  async modelsEverServed(scope: Scope, name: string): Promise<string[]> {
    const { read } = this.#ground.database
    const row = await findEndpoint(read, scope, name)
    return row === undefined ? [] : await everServed(read, row.id)
  }

  /**
   * Makes an endpoint as declared. References are resolved to the versions that they mean now; while it is suspended, variants whose
   * reference is the same as before keep their version.
   * @throws SLW_NOT_IMPLEMENTED for what this release cannot do, by name; SLW_NOT_FOUND, SLW_POLICY_REFUSED, SLW_CONTRACT_BREAKING,
   *   SLW_PRECONDITION_FAILED
   */
  async apply(scope: Scope, declared: Declaration, options: ApplyOptions = {}): Promise<AppliedEndpoint> {
    const resolved = resolveSpec(declared.spec)
    refuse('SLW_INPUT_INVALID', contradictionsIn(declared.spec))
    refuse('SLW_NOT_IMPLEMENTED', unsupported(declared.spec, resolved))
    const attempt = (): Promise<AppliedEndpoint> =>
      this.#write(options.dryRun === true, async (write) => {
        await lockModels(write, scope, modelsOf(resolved))
        const found = await findEndpoint(write, scope, declared.name)
        const locked = found === undefined ? undefined : await lockEndpoint(write, scope, found.id)
        const present = locked?.deleted_at === null ? locked : undefined
        if (present === undefined && scope.resourceVersion !== undefined)
          throw new SlipwayError(
            'SLW_PRECONDITION_FAILED',
            `endpoint "${declared.name}" is not there any more, so that it has no resource version`,
          )
        return await this.#applyTo(write, scope, present, { declared, allowBreaking: options.allowBreaking ?? false })
      })
    try {
      return await attempt()
    } catch (error) {
      // Another caller has made the endpoint first: now it exists.
      if (!isUniqueViolation(error)) throw error
      return await attempt()
    }
  }

  async #applyTo(
    write: Write,
    scope: Scope,
    present: Selectable<EndpointsRow> | undefined,
    { declared, allowBreaking }: { declared: Declaration; allowBreaking: boolean },
  ): Promise<AppliedEndpoint> {
    const { clock, newId } = this.#ground
    const at = clock.epochMs()
    const resolved = resolveSpec(declared.spec)
    const before = present === undefined ? undefined : await toEndpoint(write, present)
    const nextFollowAt = nextFollow(resolved.follow, at) ?? null
    const labels = JSON.stringify(sorted(declared.labels))
    const managedBy = declared.managedBy === undefined ? keptManager(present) : JSON.stringify(declared.managedBy)
    const sameSpec = before !== undefined && isDeepStrictEqual(before.spec, declared.spec)
    if (present !== undefined && before !== undefined && sameSpec && present.labels === labels && present.managed_by === managedBy)
      return { change: 'unchanged', before, after: before }
    const held = before?.suspended === undefined ? [] : before.revision.variants
    const variants = sameSpec && before !== undefined ? before.revision.variants : await resolveVariants(write, scope, resolved, held)
    await judge(write, scope, { before: before?.revision.variants ?? [], after: variants, allowBreaking })
    const row = present ?? (await this.#insert(write, scope, declared, at))
    if (present === undefined) await renewReceiptKey(write, row.id, at)
    const generation = present === undefined ? 1 : present.generation + (sameSpec ? 0 : 1)
    const set = {
      labels,
      managed_by: managedBy,
      generation,
      spec: JSON.stringify(declared.spec),
      updated_at: at,
      next_follow_at: nextFollowAt,
    }
    await write.updateTable('endpoints').set(set).where('id', '=', row.id).execute()
    await faultPoint('endpoint.declared')
    const endpoint = { ...row, ...set }
    if (sameSpec) {
      await nextNumber(write, 'delivery')
      await bump(write, row.id)
      await record(write, scope, at, {
        kind: 'endpoint',
        name: declared.name,
        action: 'updated',
        before: { labels: before.labels, managedBy: before.managedBy },
        after: { labels: declared.labels, managedBy: declared.managedBy },
      })
    } else {
      await this.#follow(write, row.id, resolved)
      const revision: NewRevision = { endpoint, spec: declared.spec, variants, cause: 'apply', at, newId }
      await introduce(write, scope, { revision, name: declared.name, before: before?.revision, strategy: this.#ground.strategy })
      if (present !== undefined) await bump(write, row.id)
    }
    const after = await toEndpoint(write, await requireEndpoint(write, scope, declared.name))
    return { change: present === undefined ? 'created' : 'configured', before, after }
  }

  async #insert(write: Write, scope: Scope, { name, spec }: Declaration, at: number): Promise<Selectable<EndpointsRow>> {
    return await write
      .insertInto('endpoints')
      .values({
        id: this.#ground.newId(),
        environment: scope.environment,
        name,
        labels: '{}',
        spec: JSON.stringify(spec),
        generation: 1,
        managed_by: null,
        created_at: at,
        updated_at: at,
        deleted_at: null,
        suspended: null,
        held_back: null,
        next_follow_at: null,
      })
      .returningAll()
      .executeTakeFirstOrThrow()
  }

  /** Stores the aliases that an endpoint follows. */
  async #follow(write: Write, id: string, { variants }: ReturnType<typeof resolveSpec>): Promise<void> {
    await write.deleteFrom('endpoint_aliases').where('endpoint_id', '=', id).execute()
    const followed = variants.map(({ model }) => modelReference(model)).filter((reference) => 'alias' in reference)
    const rows = [...new Map(followed.map(({ model, alias }) => [`${model}@${alias}`, { endpoint_id: id, model, alias }])).values()]
    if (rows.length > 0) await write.insertInto('endpoint_aliases').values(rows).execute()
  }

  /**
   * Takes over the versions that the aliases point to now, whatever `follow` says.
   * @throws as apply; SLW_CONFLICT while the endpoint is suspended
   */
  async sync(scope: Scope, name: string, options: ApplyOptions = {}): Promise<AppliedEndpoint> {
    return await this.#renew(scope, name, { ...options, cause: 'sync' })
  }

  /** Ends a suspension, and takes over the versions that the aliases point to now. @throws as apply */
  async resume(scope: Scope, name: string, options: ApplyOptions = {}): Promise<AppliedEndpoint> {
    return await this.#renew(scope, name, { ...options, cause: 'resume' })
  }

  async #renew(
    scope: Scope,
    name: string,
    { cause, allowBreaking = false, dryRun = false }: ApplyOptions & { cause: Cause },
  ): Promise<AppliedEndpoint> {
    return await this.#write(dryRun, async (write) => {
      const found = await requireEndpoint(write, scope, name)
      await lockModels(write, scope, modelsOf(specOf(found)))
      const row = await lockEndpoint(write, scope, found.id)
      if (row.suspended !== null && cause === 'sync')
        throw new SlipwayError(
          'SLW_CONFLICT',
          `endpoint "${name}" does not follow its aliases since it was rolled back; to follow them again: slipway endpoint resume ${name}`,
        )
      return await renew(write, scope, this.#ground, { row, cause, allowBreaking })
    })
  }

  /**
   * Makes a new revision that serves the versions of an earlier one. Aliases are then not followed until `resume`, or until one is moved.
   * @throws SLW_NOT_FOUND for a missing revision; SLW_CONFLICT if there is none to return to, or a version was deleted
   */
  async rollback(scope: Scope, name: string, { to, moveAlias: rights, dryRun = false }: RollbackOptions = {}): Promise<AppliedEndpoint> {
    const { clock, newId } = this.#ground
    return await this.#write(dryRun, async (write) => {
      const found = await requireEndpoint(write, scope, name)
      // Aliases may move back to versions of any older revision, so the models of all are locked.
      const locked = rights === undefined ? [] : [...modelsOf(specOf(found)), ...(await everServed(write, found.id))]
      await lockModels(write, scope, locked)
      const row = await lockEndpoint(write, scope, found.id)
      const before = await toEndpoint(write, row)
      // What was walking in is turned back; without it, what is in force is what there was before.
      const held = await this.#ground.strategy?.letGo?.(write, { endpoint: row, scope, at: clock.epochMs() })
      const passedOver = (await this.#ground.strategy?.turnedBack?.(write, row.id)) ?? new Set()
      const target = await returnTo(write, before, { to: to ?? (held === true ? before.revision.number : undefined), passedOver })
      await requireThere(write, target)
      if (rights !== undefined && target.variants.some(({ model }) => !locked.includes(model)))
        throw new SlipwayError('SLW_CONFLICT', `endpoint "${name}" has got another revision meanwhile; look at it, and roll back again`)
      const at = clock.epochMs()
      const suspended = { at, by: scope.actor, ...(scope.reason !== undefined && { reason: scope.reason }), revision: target.number }
      await suspend(write, row.id, suspended)
      await faultPoint('endpoint.suspended')
      const revision: NewRevision = {
        endpoint: row,
        spec: target.spec,
        variants: target.variants,
        cause: 'rollback',
        at,
        newId,
        rolledBackTo: target.number,
      }
      // A rollback comes into force at once, without steps.
      await introduce(write, scope, { revision, name, before: before.revision, strategy: asDeclared })
      await bump(write, row.id)
      if (rights !== undefined) await this.#moveAliases(write, scope, target.variants, rights)
      const after = await toEndpoint(write, await requireEndpoint(write, scope, name))
      return { change: 'configured', before, after }
    })
  }

  async #moveAliases(write: Write, scope: Scope, variants: readonly ResolvedVariant[], rights: AliasRights): Promise<void> {
    for (const { reference, version } of variants) {
      const meant = modelReference(reference)
      // The versions are served already; they may only break what the alias has promised since.
      if ('alias' in meant)
        await moveAlias(
          write,
          this.#ground,
          { ...scope, resourceVersion: undefined, once: undefined },
          { model: meant.model, alias: meant.alias, version: String(version), allowBreaking: true, rights },
        )
    }
  }

  /** Deletes an endpoint: servers stop serving it; its revisions stay in the history. @throws SLW_NOT_FOUND */
  async delete(scope: Scope, name: string): Promise<void> {
    const { database, clock } = this.#ground
    const at = clock.epochMs()
    await database.write(async (write) => {
      const found = await requireEndpoint(write, scope, name)
      const row = await lockEndpoint(write, scope, found.id)
      if (row.deleted_at !== null) throw new SlipwayError('SLW_NOT_FOUND', `endpoint "${name}" was deleted a moment ago`)
      await this.#ground.strategy?.letGo?.(write, { endpoint: row, scope, at })
      const revision = await revisionOf(write, row.id, row.current_revision)
      await write.updateTable('endpoints').set({ deleted_at: at, updated_at: at, next_follow_at: null }).where('id', '=', row.id).execute()
      await write.deleteFrom('endpoint_aliases').where('endpoint_id', '=', row.id).execute()
      await faultPoint('endpoint.deleted')
      await nextNumber(write, 'delivery')
      await record(write, scope, at, {
        kind: 'endpoint',
        name,
        action: 'deleted',
        before: {
          spec: JSON.parse(row.spec),
          revision: row.current_revision,
          variants: revision?.variants.map(({ model, version }) => `${model}/${version}`),
        },
      })
    })
  }

  /**
   * Follows the aliases of endpoints that are due by their schedule, and sets the next time, in one transaction for each endpoint.
   */
  async followDue(): Promise<void> {
    const { database, clock } = this.#ground
    const now = clock.epochMs()
    const due = await database.read
      .selectFrom('endpoints')
      .select(['id', 'environment', 'name'])
      .where('next_follow_at', '<=', now)
      .where('deleted_at', 'is', null)
      .execute()
    for (const { id, environment } of due) {
      const scope: Scope = { environment, actor: 'slipway' }
      await database.write(async (write) => {
        const found = await write.selectFrom('endpoints').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
        await lockModels(write, scope, modelsOf(specOf(found)))
        const row = await lockEndpoint(write, scope, id)
        if (row.deleted_at !== null || row.next_follow_at === null || row.next_follow_at > now) return
        const next = nextFollow(resolveSpec(specOf(row)).follow, now) ?? null
        await write.updateTable('endpoints').set({ next_follow_at: next }).where('id', '=', id).execute()
        await faultPoint('cron.set')
        if (row.suspended === null) await renewOrHoldBack(write, scope, this.#ground, { row, cause: 'cron', allowBreaking: false })
      })
    }
  }

  /** Runs a transaction that a dry run undoes. */
  async #write(dryRun: boolean, work: (write: Write) => Promise<AppliedEndpoint>): Promise<AppliedEndpoint> {
    try {
      return await this.#ground.database.write(async (write) => {
        const outcome = await work(write)
        if (dryRun) throw new DryRun(outcome)
        return outcome
      })
    } catch (error) {
      if (error instanceof DryRun) return error.outcome
      throw error
    }
  }
}

/** Makes new revisions of endpoints that follow a moved alias at once, in the same transaction, and ends their suspensions. */
export async function followAlias(
  write: Write,
  scope: Scope,
  ground: DeliveryGround,
  { model, alias, at, allowBreaking }: MovedAlias,
): Promise<void> {
  const followers = await write
    .selectFrom('endpoint_aliases')
    .innerJoin('endpoints', 'endpoints.id', 'endpoint_aliases.endpoint_id')
    .select('endpoints.id')
    .where('model', '=', model)
    .where('alias', '=', alias)
    .where('environment', '=', scope.environment)
    .where('deleted_at', 'is', null)
    .orderBy('endpoints.id')
    .execute()
  const own = { ...scope, resourceVersion: undefined, once: undefined }
  // Locks all rows before any counter, as changes of a single endpoint do, too.
  const rows: Selectable<EndpointsRow>[] = []
  for (const { id } of followers) rows.push(await lockEndpoint(write, own, id))
  // Applications may follow the alias without an endpoint.
  await nextNumber(write, 'delivery')
  for (const row of rows) {
    const { id } = row
    if (row.deleted_at !== null) continue
    if (row.suspended !== null) {
      await write.updateTable('endpoints').set({ suspended: null, updated_at: at }).where('id', '=', id).execute()
      await bump(write, id)
    }
    const { follow } = resolveSpec(specOf(row))
    if (follow !== 'notification') continue
    await renewOrHoldBack(write, own, ground, { row: { ...row, suspended: null }, cause: 'alias', allowBreaking })
  }
}

interface Introduction {
  readonly revision: NewRevision
  readonly name: string
  readonly before: Revision | undefined
  readonly strategy: Strategy | undefined
}

/**
 * Makes a revision, has a strategy bring it into force, and records the event. The endpoint's row must be locked. The counter of the
 * documents for servers stays locked from here on, so only the record of the event may take further locks.
 */
async function introduce(write: Write, scope: Scope, { revision, name, before, strategy = atOnce }: Introduction): Promise<void> {
  const { endpoint, spec, variants, cause, at, newId } = revision
  const number = await makeRevision(write, scope, revision)
  await strategy.introduce(write, { endpoint, number, spec, variants, cause, before, scope, at, newId })
  await nextNumber(write, 'delivery')
  await recordRevision(write, scope, { name, number, before, after: revision })
}

interface Renewal {
  readonly row: Selectable<EndpointsRow>
  readonly cause: Cause
  readonly allowBreaking: boolean
}

/** Makes a new revision if the references of the spec mean other versions now, or the spec is not the one in force. */
async function renew(write: Write, scope: Scope, ground: DeliveryGround, { row, cause, allowBreaking }: Renewal): Promise<AppliedEndpoint> {
  const { clock, newId } = ground
  const at = clock.epochMs()
  const before = await toEndpoint(write, row)
  const variants = await resolveVariants(write, scope, resolveSpec(before.spec))
  const same = isDeepStrictEqual(variants, before.revision.variants)
  // What is on its way already does not begin anew.
  const coming = await ground.strategy?.coming?.(write, row.id)
  if (coming !== undefined && before.suspended === undefined && isDeepStrictEqual(variants, coming))
    return { change: 'unchanged', before, after: before }
  if (same && before.suspended === undefined && before.heldBack === undefined) return { change: 'unchanged', before, after: before }
  await judge(write, scope, { before: before.revision.variants, after: variants, allowBreaking })
  await write.updateTable('endpoints').set({ suspended: null, held_back: null, updated_at: at }).where('id', '=', row.id).execute()
  await bump(write, row.id)
  if (same) {
    await record(write, scope, at, {
      kind: 'endpoint',
      name: row.name,
      action: 'updated',
      before: { suspended: before.suspended, heldBack: before.heldBack },
      after: { follows: true },
    })
  } else {
    const revision: NewRevision = { endpoint: row, spec: before.spec, variants, cause, at, newId }
    await introduce(write, scope, { revision, name: row.name, before: before.revision, strategy: ground.strategy })
  }
  const after = await toEndpoint(write, await requireEndpoint(write, scope, row.name))
  return { change: 'configured', before, after }
}

/** As {@link renew}; a refusal is stored in `held_back`, and the endpoint stays as it is. */
async function renewOrHoldBack(write: Write, scope: Scope, ground: DeliveryGround, renewal: Renewal): Promise<void> {
  try {
    await renew(write, scope, ground, renewal)
  } catch (error) {
    const { code, message } = toSlipwayError(error)
    // Only refusals that were decided before anything was written.
    if (!isSlipwayError(error) || !HOLDS_BACK.has(code)) throw error
    const { id } = renewal.row
    await write
      .updateTable('endpoints')
      .set({ held_back: JSON.stringify({ at: ground.clock.epochMs(), code, message }) })
      .where('id', '=', id)
      .execute()
    await bump(write, id)
  }
}

const HOLDS_BACK = new Set(['SLW_POLICY_REFUSED', 'SLW_CONTRACT_BREAKING', 'SLW_NOT_FOUND', 'SLW_CONFLICT'])

/** @throws SLW_NOT_FOUND, SLW_CONFLICT */
async function returnTo(
  read: Kysely<Schema>,
  { id, name, revision: current }: DeclaredEndpoint,
  { to, passedOver }: { readonly to: number | undefined; readonly passedOver: ReadonlySet<number> },
): Promise<Revision> {
  if (to !== undefined) {
    const found = await revisionOf(read, id, to)
    if (found === undefined)
      throw new SlipwayError('SLW_NOT_FOUND', `endpoint "${name}" has no revision ${to}; it has 1 to ${current.number}`)
    return found
  }
  // A second rollback goes further back, and not to the revision that the first one left.
  const base = current.rolledBackTo ?? current.number
  const rows = await read
    .selectFrom('revisions')
    .selectAll()
    .where('endpoint_id', '=', id)
    .where('number', '<', base)
    .orderBy('number', 'desc')
    .execute()
  const found = rows
    .map(toRevision)
    .find(({ number, variants }) => !passedOver.has(number) && !isDeepStrictEqual(variants, current.variants))
  if (found === undefined)
    throw new SlipwayError('SLW_CONFLICT', `endpoint "${name}" has no revision before this one that served anything else`)
  return found
}

function sorted(labels: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

function refuse(code: ErrorCode, issues: readonly Issue[]): void {
  if (issues.length > 0) throw new SlipwayError(code, issues.map(({ path, message }) => `${path}: ${message}`).join('; '), { issues })
}

/** Whoever declares what an alias looked after takes it over; any other manager stays. */
function keptManager(present: Selectable<EndpointsRow> | undefined): string | null {
  const managedBy = present?.managed_by ?? null
  return managedBy !== null && (JSON.parse(managedBy) as ManagedBy).kind === 'slipway' ? null : managedBy
}
