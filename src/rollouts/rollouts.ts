/**
 * Rollouts walk endpoints from one revision to the next, judged by what happens to users, and back where the new version is worse. This file
 * is the door: what people start and command. `look.ts` is what happens by itself.
 */
import { modelReference, modelsOf, resolveSpec } from '../contract/endpoint.ts'
import { resolveRollout } from '../contract/rollout.ts'
import { SlipwayError } from '../core/errors.ts'
import { aliasedIn, moveAlias, requireAliasRight } from '../models/aliases.ts'
import { lockEndpoint, suspend } from '../delivery/lock-endpoint.ts'
import { requireEndpoint, specOf } from '../delivery/read-endpoints.ts'
import { judge, lockModels, requireThere, resolveVariants } from '../delivery/resolve.ts'
import { makeRevision, recordRevision, revisionOf } from '../delivery/revisions.ts'
import { putInForce } from '../delivery/routing-states.ts'
import { nextNumber } from '../ledger/counters.ts'
import { begin, isVersion, ofModel, strategyFor } from './begin.ts'
import { hasEnded } from './decide.ts'
import { activeOf, rolloutsOf, toRollout } from './rollout.ts'
import { back, bringIntoForce, end, goOn, pause, stepTo } from './transitions.ts'
import type { Selectable } from 'kysely'
import type { EndpointSpec } from '../contract/endpoint.ts'
import type { Rollout } from '../contract/rollout.ts'
import type { RolloutCommand } from '../contract/rollout-api.ts'
import type { Delivery } from '../delivery/delivery.ts'
import type { DeliveryGround } from '../delivery/ground.ts'
import type { ResolvedVariant } from '../delivery/resolve.ts'
import type { NewRevision, Revision } from '../delivery/revisions.ts'
import type { EndpointsRow } from '../delivery/tables.ts'
import type { Scope, Write } from '../ledger/scope.ts'
import type { Feedback } from '../monitoring/feedback.ts'
import type { Windows } from '../monitoring/windows.ts'
import type { Outside } from './outside.ts'
import type { OnPromoted, RolloutState } from './rollout.ts'
import type { RolloutTransitionsRow } from './tables.ts'
import type { Place } from './transitions.ts'

/** The services that rollouts use. */
export interface RolloutGround extends DeliveryGround {
  readonly delivery: Delivery
  readonly windows: Windows
  readonly feedback: Feedback
  readonly outside: Outside
}

export interface StartOptions {
  /** MODEL@ALIAS, MODEL/NUMBER, or an alias or a number of the endpoint's model. Default: what the endpoint declares. */
  readonly to?: string | undefined
  /** Default: that of the endpoint, else a canary. */
  readonly rollout?: Rollout | undefined
  /** Alias that points to the version once it is promoted. */
  readonly onPromoted?: string | undefined
  /** Whether the caller may move protected aliases. */
  readonly protect: boolean
  readonly anew?: boolean
}

/** What a rollout would start from and walk to. */
interface Wanted {
  readonly spec: EndpointSpec
  readonly inForce: Revision
  readonly variants: readonly ResolvedVariant[]
}

/** Time for which rollouts are kept after their end, as windows of hours are: 400 days. */
const KEPT_MS = 400 * 24 * 3_600_000

export class Rollouts {
  readonly #ground: RolloutGround

  constructor(ground: RolloutGround) {
    this.#ground = ground
  }

  /**
   * Starts a walk to a version. The spec of the endpoint stays as it is.
   * @throws SLW_NOT_FOUND, SLW_CONFLICT where it is in force already, SLW_POLICY_REFUSED, SLW_CONTRACT_BREAKING, SLW_INPUT_INVALID
   */
  async start(scope: Scope, name: string, { rollout, onPromoted, protect, anew = false, to }: StartOptions): Promise<RolloutState> {
    const { database, clock, newId } = this.#ground
    return await database.write(async (write) => {
      const endpoint = await lockWithModels(write, scope, name, to)
      const { spec, inForce, variants } = await wantedOf(write, scope, endpoint, to)
      const at = clock.epochMs()
      const revision: NewRevision = { endpoint, spec, variants, cause: 'rollout', at, newId }
      const number = await makeRevision(write, scope, revision)
      const made = { endpoint, number, variants, before: inForce, scope, at, newId }
      const alias: OnPromoted | undefined = onPromoted === undefined ? undefined : { model: variants[0]!.model, alias: onPromoted, protect }
      if (alias !== undefined) await requireAliasRight(write, scope, alias)
      const strategy = resolveRollout(rollout ?? spec.rollout ?? {})
      const started = await begin(write, made, rollout === undefined ? await strategyFor(write, made, strategy) : strategy, {
        onPromoted: alias,
        anew,
      })
      await nextNumber(write, 'delivery')
      await recordRevision(write, scope, { name, number, before: inForce, after: revision })
      return started
    })
  }

  /** What `start` would walk to. @throws as it */
  async wanted(scope: Scope, name: string, to: string | undefined): Promise<Wanted & { readonly endpoint: Selectable<EndpointsRow> }> {
    return await this.#ground.database.write(async (write) => {
      const endpoint = await lockWithModels(write, scope, name, to)
      return { endpoint, ...(await wantedOf(write, scope, endpoint, to)) }
    })
  }

  /** @param number default: the latest. @throws SLW_NOT_FOUND */
  async get(scope: Scope, name: string, number?: number): Promise<RolloutState> {
    const { read } = this.#ground.database
    const { id } = await requireEndpoint(read, scope, name)
    const [found] = await rolloutsOf(read, id, 1, number === undefined ? undefined : number + 1)
    if (found !== undefined && (number === undefined || found.number === number)) return found
    throw new SlipwayError(
      'SLW_NOT_FOUND',
      number === undefined
        ? `endpoint "${name}" has had no rollout; start one with: slipway rollout start ${name} --to MODEL/NUMBER`
        : `endpoint "${name}" has had no rollout ${number}`,
    )
  }

  /** @throws SLW_NOT_FOUND */
  async byId(scope: Scope, id: string): Promise<RolloutState & { readonly endpoint: string }> {
    const row = await this.#ground.database.read
      .selectFrom('rollouts')
      .innerJoin('endpoints', 'endpoints.id', 'rollouts.endpoint_id')
      .selectAll('rollouts')
      .select('endpoints.name as endpoint')
      .where('rollouts.id', '=', id)
      .where('environment', '=', scope.environment)
      .executeTakeFirst()
    if (row === undefined) throw new SlipwayError('SLW_NOT_FOUND', `there is no rollout "${id}" in "${scope.environment}"`)
    return { ...toRollout(row), endpoint: row.endpoint }
  }

  /** The rollouts of an endpoint, the latest first. @throws SLW_NOT_FOUND */
  async list(scope: Scope, name: string, limit: number, before?: number): Promise<RolloutState[]> {
    const { read } = this.#ground.database
    const { id } = await requireEndpoint(read, scope, name)
    return await rolloutsOf(read, id, limit, before)
  }

  async transitions({ id }: Pick<RolloutState, 'id'>): Promise<Selectable<RolloutTransitionsRow>[]> {
    return await this.#ground.database.read
      .selectFrom('rollout_transitions')
      .selectAll()
      .where('rollout_id', '=', id)
      .orderBy('number')
      .execute()
  }

  /** Does what a person says of the latest rollout of an endpoint. @throws SLW_NOT_FOUND, SLW_CONFLICT where it makes no sense now */
  async command(
    scope: Scope,
    name: string,
    { protect, ...wanted }: RolloutCommand & { /** Whether the caller may move protected aliases. */ readonly protect: boolean },
  ): Promise<RolloutState> {
    const { database, clock, newId } = this.#ground
    return await database.write(async (write) => {
      const found = await requireEndpoint(write, scope, name)
      await lockModels(write, scope, modelsOf(specOf(found)))
      const endpoint = await lockEndpoint(write, scope, found.id)
      const at = clock.epochMs()
      if (wanted.command === 'retry') return await retry(write, { scope, endpoint, at, newId, protect, anew: wanted.anew ?? false })
      const rollout = await activeOf(write, endpoint.id)
      if (rollout === undefined)
        throw new SlipwayError(
          'SLW_CONFLICT',
          `endpoint "${name}" has no rollout in progress: there is nothing to ${wanted.command}; what there was: slipway rollout history ${name}`,
        )
      // Whoever promotes it has the right for the alias, or who has started it had it.
      const alias = rollout.onPromoted
      const onPromoted = alias === undefined ? undefined : { ...alias, protect: alias.protect || protect }
      await this.#obey({ write, scope, endpoint, rollout: { ...rollout, onPromoted }, at, newId }, wanted)
      const row = await write.selectFrom('rollouts').selectAll().where('id', '=', rollout.id).executeTakeFirstOrThrow()
      return toRollout(row)
    })
  }

  async #obey(place: Place, { command, full = false }: RolloutCommand): Promise<void> {
    const { rollout, scope } = place
    const why = scope.reason ?? `${scope.actor} said so: ${command}`
    const { stages } = rollout.strategy
    const standing = rollout.state === 'paused' ? rollout.interrupted : rollout.state
    // What a pause says is why it was paused.
    const held = rollout.state === 'paused' ? undefined : rollout.waitsFor
    switch (command) {
      case 'pause':
        if (rollout.state === 'paused' && rollout.pausedFor === 'person') throw refused(rollout, 'it is paused already')
        if (rollout.state === 'watching') throw refused(rollout, 'all steps are done')
        return await pause(place, 'person', why)
      case 'resume':
        if (rollout.state !== 'paused') throw refused(rollout, `it is not paused, it is ${rollout.state}`)
        return await goOn(place, why)
      case 'abort':
        return rollout.state === 'watching' ? await this.#undo(place, 'aborted', why) : await back(place, 'aborted', why)
      case 'skip':
      case 'promote':
        if (standing === 'waiting') throw refused(rollout, `it waits for ${held ?? 'its gates'}`)
        if (standing === 'loading')
          throw refused(rollout, `it waits for ${held ?? 'servers to load it'}: requests go to who can answer them`)
        if (command === 'skip' && rollout.state === 'paused')
          throw refused(rollout, 'it is paused: resume it first, or go to the next step with promote')
        if (standing === 'watching') return await end(place, 'promoted', why)
        if (standing === 'baking' || rollout.step >= stages.length) return await this.force(place, why)
        return await stepTo(place, full ? stages.length : rollout.step + 1, why)
      default:
        throw new Error(`unknown command ${command}`)
    }
  }

  /** Forgets rollouts that ended long ago; events tell of them for as long as these are kept. @returns how many */
  async sweep(): Promise<number> {
    const { database, clock } = this.#ground
    const { numDeletedRows } = await database.write((write) =>
      write
        .deleteFrom('rollouts')
        .where('ended_at', '<', clock.epochMs() - KEPT_MS)
        .executeTakeFirst(),
    )
    return Number(numDeletedRows)
  }

  /** Puts the revision in force, and moves the alias that goes with it. */
  async force(place: Place, why: string): Promise<void> {
    const { write, scope, rollout } = place
    await bringIntoForce(place, why)
    const { onPromoted, to } = rollout
    await this.#holdAgainst(place)
    if (onPromoted === undefined) return
    const { model, alias, protect } = onPromoted
    const own: Scope = { ...scope, resourceVersion: undefined, once: undefined }
    const pointed = await aliasedIn(write, scope, model, alias)
    const before = pointed === undefined ? undefined : String(pointed.number)
    await write
      .updateTable('rollouts')
      .set({ on_promoted: JSON.stringify({ ...onPromoted, before }) })
      .where('id', '=', rollout.id)
      .execute()
    await moveAlias(write, this.#ground, own, { model, alias, version: to.version, rights: { protect } })
  }

  /** An alias that the endpoint follows, and that still means another version, does not undo what was rolled out by hand. */
  async #holdAgainst({ write, scope, endpoint, rollout: { to, onPromoted }, at }: Place): Promise<void> {
    const followed = modelReference(specOf(endpoint).variants[0]!.model)
    if (!('alias' in followed) || followed.alias === onPromoted?.alias) return
    const pointed = await aliasedIn(write, scope, followed.model, followed.alias)
    if (followed.model === to.model && String(pointed?.number) === to.version) return
    const reason = `${to.model}/${to.version} was rolled out, and ${followed.model}@${followed.alias} means another version`
    await suspend(write, endpoint.id, { at, by: scope.actor, reason, revision: to.revision })
  }

  /** Goes back from a version that is in force: to the revision before, at once. */
  async undo(place: Place, why: string): Promise<void> {
    await this.#undo(place, 'rolled back', why)
  }

  async #undo(place: Place, how: 'aborted' | 'rolled back', why: string): Promise<void> {
    const { write, scope, endpoint, rollout, at, newId } = place
    const [inForce, target] = [
      (await revisionOf(write, endpoint.id, rollout.to.revision))!,
      (await revisionOf(write, endpoint.id, rollout.from.revision))!,
    ]
    await requireThere(write, target)
    const { spec, variants } = target
    const revision: NewRevision = { endpoint, spec, variants, cause: 'rollback', at, newId, rolledBackTo: target.number }
    const number = await makeRevision(write, scope, revision)
    await back({ ...place, rollout: { ...rollout, from: { ...rollout.from, revision: number } } }, how, why)
    await putInForce(write, { endpointId: endpoint.id, number, at })
    const own: Scope = { ...scope, resourceVersion: undefined, once: undefined }
    await recordRevision(write, own, { name: endpoint.name, number, before: inForce, after: revision })
    const { onPromoted } = rollout
    if (onPromoted?.before === undefined) return
    // The alias moved with the version, and moves back with it: it was allowed to mean that one.
    const { model, alias, before } = onPromoted
    await moveAlias(write, this.#ground, own, { model, alias, version: before, allowBreaking: true, rights: { protect: true } })
  }
}

function refused({ number }: RolloutState, why: string): SlipwayError {
  return new SlipwayError('SLW_CONFLICT', `rollout ${number}: ${why}`)
}

/** Locks the models of an endpoint, and that of a wanted version, before the endpoint. @throws SLW_NOT_FOUND */
async function lockWithModels(write: Write, scope: Scope, name: string, to: string | undefined): Promise<Selectable<EndpointsRow>> {
  const found = await requireEndpoint(write, scope, name)
  const spec = specOf(found)
  const other = to === undefined || !/[@/]/.test(to) ? [] : [modelReference(to).model]
  await lockModels(write, scope, [...modelsOf(spec), ...other])
  return await lockEndpoint(write, scope, found.id)
}

/** @throws SLW_CONFLICT, SLW_NOT_FOUND, SLW_POLICY_REFUSED, SLW_CONTRACT_BREAKING, SLW_INPUT_INVALID */
async function wantedOf(write: Write, scope: Scope, endpoint: Selectable<EndpointsRow>, to: string | undefined): Promise<Wanted> {
  const spec = specOf(endpoint)
  const inForce = (await revisionOf(write, endpoint.id, endpoint.current_revision))!
  if (spec.variants.length > 1)
    throw new SlipwayError(
      'SLW_CONFLICT',
      `endpoint "${endpoint.name}" shares its requests out between ${spec.variants.length} variants, and a rollout walks from one version to the next; move shares with: slipway traffic ${endpoint.name}`,
    )
  const [declared] = spec.variants as [EndpointSpec['variants'][number]]
  const reference = to === undefined ? declared.model : referenceOf(to, declared.model)
  const [variant] = await resolveVariants(write, scope, resolveSpec({ ...spec, variants: [{ ...declared, model: reference }] }))
  const active = await activeOf(write, endpoint.id)
  const { model, version } = variant!
  const meant = { model, version: String(version) }
  if (isVersion(ofModel(inForce.variants), meant) && (active === undefined || active.state === 'watching'))
    throw new SlipwayError('SLW_CONFLICT', `${model}/${version} is in force already: there is nothing to roll out`)
  if (active !== undefined && isVersion(active.to, meant) && !hasEnded(active))
    throw new SlipwayError(
      'SLW_CONFLICT',
      `rollout ${active.number} is on its way to ${model}/${version}, and ${active.state}; look at it with: slipway rollout watch ${endpoint.name}`,
    )
  const variants = [{ ...variant!, reference: declared.model }]
  await judge(write, scope, { before: inForce.variants, after: variants, allowBreaking: false })
  return { spec, inForce, variants }
}

/** `candidate` and `7` are of the model that the endpoint has. */
function referenceOf(to: string, declared: string): string {
  if (/^[^/@:]+(@[^/@:]+|\/[0-9]+)$/.test(to)) return to
  if (/[/@:]/.test(to))
    throw new SlipwayError('SLW_INPUT_INVALID', `to: "${to}" is no version; expected MODEL@ALIAS, MODEL/NUMBER, an alias or a number`, {
      issues: [{ path: 'to', message: 'is no version' }],
    })
  const { model } = modelReference(declared)
  return /^[0-9]+$/.test(to) ? `${model}/${to}` : `${model}@${to}`
}

/** The walk of the latest rollout again. @throws SLW_CONFLICT */
async function retry(
  write: Write,
  {
    scope,
    endpoint,
    at,
    newId,
    protect,
    anew,
  }: {
    readonly scope: Scope
    readonly endpoint: Selectable<EndpointsRow>
    readonly at: number
    readonly newId: () => string
    readonly protect: boolean
    readonly anew: boolean
  },
): Promise<RolloutState> {
  const [latest] = await rolloutsOf(write, endpoint.id, 1)
  if (latest === undefined || !hasEnded(latest) || latest.state === 'promoted')
    throw new SlipwayError(
      'SLW_CONFLICT',
      latest === undefined
        ? `endpoint "${endpoint.name}" has had no rollout that could be tried again; start one with: slipway rollout start ${endpoint.name} --to MODEL/NUMBER`
        : `rollout ${latest.number} of "${endpoint.name}" is ${latest.state}: only what was turned back, aborted or superseded can be tried again`,
    )
  const made = (await revisionOf(write, endpoint.id, latest.to.revision))!
  const inForce = (await revisionOf(write, endpoint.id, endpoint.current_revision))!
  await requireThere(write, made)
  // What it may break was allowed when the revision was made.
  await judge(write, scope, { before: inForce.variants, after: made.variants, allowBreaking: true })
  const again = { endpoint, number: made.number, variants: made.variants, before: inForce, scope, at, newId }
  await write.updateTable('endpoints').set({ suspended: null }).where('id', '=', endpoint.id).execute()
  const alias = latest.onPromoted
  const onPromoted = alias === undefined ? undefined : { model: alias.model, alias: alias.alias, protect }
  if (onPromoted !== undefined) await requireAliasRight(write, scope, onPromoted)
  return await begin(write, again, latest.strategy, { onPromoted, anew })
}
