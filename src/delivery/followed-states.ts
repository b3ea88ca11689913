import { lastNumber } from '../ledger/counters.ts'
import { createHash } from 'node:crypto'
import { API_VERSION } from '../contract/schema.ts'
import { MAIN_VARIANT, modelReference } from '../contract/endpoint.ts'
import { isSlipwayError, SlipwayError } from '../core/errors.ts'
import { listDigest } from '../core/list-digest.ts'
import { requireModel } from '../models/models.ts'
import { servingFailures, whyNotServable } from '../models/policies.ts'
import { requireVersion } from '../models/read-versions.ts'
import { sourceOf } from './identity.ts'
import { receiptKeysIn } from './receipt-keys.ts'
import { aliasedVersion } from './resolve.ts'
import { routingDocument, servedVariants } from './routing-document.ts'
import type { EndpointSpec } from '../contract/endpoint.ts'
import type { FollowedEndpoint, FollowedState, FollowedVariant, VersionManifest } from '../contract/followed-state.ts'
import type { Ground, Scope } from '../ledger/scope.ts'
import type { ResolvedVariant } from './resolve.ts'

/** A document for servers, as it was read at one moment. */
interface Kept {
  readonly state: FollowedState
  /** The document as text, by the followed endpoints: servers that follow the same endpoints get the same text. */
  readonly texts: Map<string, { readonly text: string; readonly etag: string }>
}

type Meaning = NonNullable<FollowedState['references']>[number]

export interface FollowedSelection {
  /** Names of endpoints. Default: all. */
  readonly names?: readonly string[] | undefined
  readonly references?: readonly string[]
  /** Whether the caller may sign receipts of predictions, as servers may. Default: true. */
  readonly receiptKeys?: boolean
}

/** References whose meaning is remembered. */
const MEANINGS_MAX = 10_000
/** Selections of endpoints whose texts are remembered. */
const TEXTS_MAX = 500

/** The documents that servers follow. Each is read once for a generation, however many servers want it. */
export class FollowedStates {
  readonly #ground: Ground
  readonly #kept = new Map<string, Promise<Kept>>()
  /** Meanings of references, each with the number of the event after which it was looked up. */
  readonly #meant = new Map<string, { readonly sequence: number; readonly meaning: Promise<Meaning> }>()

  constructor(ground: Ground) {
    this.#ground = ground
  }

  /** The number that grows with every change of an endpoint, of any environment. */
  async generation(): Promise<number> {
    return await lastNumber(this.#ground.database.read, 'delivery')
  }

  /**
   * The document of an environment with some of its endpoints, at least as new as a generation, and its references as an event.
   */
  async text(
    environment: string,
    { names, references = [], receiptKeys = true }: FollowedSelection,
    { generation, sequence }: { readonly generation: number; readonly sequence?: number | undefined },
  ): Promise<{ text: string; etag: string }> {
    const { state, texts } = await this.#state(environment, generation)
    const etagOf = (text: string): string =>
      `${state.era}.${state.generation}.${createHash('sha256').update(text).digest('base64url').slice(0, 16)}`
    const wanted = new Set(names)
    const chosen = names === undefined ? state.endpoints : state.endpoints.filter(({ name }) => wanted.has(name))
    const endpoints = receiptKeys ? chosen : chosen.map(({ receiptKeys: _keys, ...endpoint }) => endpoint)
    if (references.length > 0) {
      // Meanings of references change without a new generation too: with an approval, a policy, a version that was registered.
      const meant = await this.#meanings(environment, references, sequence)
      const whole = JSON.stringify({ ...state, endpoints, list: listDigest(endpoints, meant), references: meant })
      return { text: whole, etag: etagOf(whole) }
    }
    const key = JSON.stringify([names?.toSorted() ?? '*', receiptKeys])
    let answer = texts.get(key)
    if (answer === undefined) {
      const text = JSON.stringify({ ...state, endpoints, list: listDigest(endpoints) })
      answer = { text, etag: etagOf(text) }
      if (texts.size < TEXTS_MAX) texts.set(key, answer)
    }
    return answer
  }

  async #state(environment: string, generation: number): Promise<Kept> {
    const known = this.#kept.get(environment)
    if (known !== undefined) {
      const kept = await known.catch(() => undefined)
      if (kept !== undefined && kept.state.generation >= generation) return kept
    }
    // While this call waited, another one may have begun to read.
    const latest = this.#kept.get(environment)
    if (latest !== undefined && latest !== known) return await this.#state(environment, generation)
    const reading = this.#read(environment)
    this.#kept.set(environment, reading)
    reading.catch(() => this.#kept.delete(environment))
    return await reading
  }

  /** Current meanings of references, or the reasons for refusal. Read after the number of the event, so never older than that. */
  async #meanings(environment: string, references: readonly string[], sequence: number | undefined): Promise<Meaning[]> {
    return await Promise.all(references.map((reference) => this.#keptMeaning(environment, reference, sequence ?? Infinity)))
  }

  /** Looks a reference up once after each event, however many servers follow it. */
  #keptMeaning(environment: string, reference: string, sequence: number): Promise<Meaning> {
    const key = JSON.stringify([environment, reference])
    const kept = this.#meant.get(key)
    if (kept !== undefined && kept.sequence >= sequence) return kept.meaning
    const meaning = this.#meaningOrRefusal(environment, reference)
    if (sequence === Infinity) return meaning
    if (this.#meant.size >= MEANINGS_MAX) this.#meant.clear()
    this.#meant.set(key, { sequence, meaning })
    meaning.catch(() => this.#meant.delete(key))
    return meaning
  }

  async #meaningOrRefusal(environment: string, reference: string): Promise<Meaning> {
    try {
      return { reference, variant: await this.#meaning(environment, reference) }
    } catch (error) {
      if (!isSlipwayError(error) || error.kind.http >= 500) throw error
      return { reference, refused: error.message }
    }
  }

  async #meaning(environment: string, reference: string): Promise<FollowedVariant> {
    const { read } = this.#ground.database
    const scope: Scope = { environment, actor: 'slipway' }
    const meant = modelReference(reference)
    const model = await requireModel(read, scope, meant.model)
    const version =
      'version' in meant ? await requireVersion(read, model, String(meant.version)) : await aliasedVersion(read, model, meant.alias)
    const reason = whyNotServable(model, version)
    const failures = reason === undefined ? await servingFailures(read, model, version) : [reason]
    if (failures.length > 0)
      throw new SlipwayError('SLW_POLICY_REFUSED', `${model.name}/${version.number} is not served: ${failures.join('; ')}`)
    const { id: versionId, number, digest, size } = version
    if (digest === null || size === null)
      throw new SlipwayError('SLW_CONFLICT', `the files of ${model.name}/${number} are not with this registry`)
    return { name: MAIN_VARIANT, model: model.name, version: number, versionId, digest, size, serving: {} }
  }

  /** Reads in one statement, so that generation and content are of one moment. */
  async #read(environment: string): Promise<Kept> {
    const rows = await this.#ground.database.read
      .selectFrom('counters')
      .innerJoin('counters as eras', (join) => join.on('eras.name', '=', 'era'))
      .leftJoin('endpoints', (join) => join.on('endpoints.environment', '=', environment).on('endpoints.deleted_at', 'is', null))
      .leftJoin('revisions', (join) =>
        join.onRef('revisions.endpoint_id', '=', 'endpoints.id').onRef('revisions.number', '=', 'endpoints.current_revision'),
      )
      .leftJoin('routing_states', 'routing_states.endpoint_id', 'endpoints.id')
      .leftJoin('revisions as besides', (join) =>
        join.onRef('besides.endpoint_id', '=', 'endpoints.id').onRef('besides.number', '=', 'routing_states.beside'),
      )
      .select([
        'counters.value as generation',
        'eras.value as era',
        'endpoints.name',
        'endpoints.labels',
        'endpoints.generation as endpointGeneration',
        'revisions.number',
        'revisions.resolved',
        'revisions.spec',
        'endpoints.id',
        'routing_states.weights',
        'routing_states.ranges',
        'routing_states.shadows',
        'routing_states.edges',
        'routing_states.audiences',
        'routing_states.baseline',
        'routing_states.lost_after',
        'routing_states.salt',
        'routing_states.segment',
        'besides.number as besideNumber',
        'besides.resolved as besideResolved',
      ])
      .where('counters.name', '=', 'delivery')
      .execute()
    const { generation, era } = rows[0]!
    const keys = await receiptKeysIn(this.#ground.database.read, environment)
    const endpoints: FollowedEndpoint[] = []
    for (const row of rows) {
      const { id, name, labels, endpointGeneration, number, resolved, spec, weights, salt, segment, besideNumber, besideResolved } = row
      if (name === null || number === null || resolved === null || spec === null || weights === null || salt === null || segment === null)
        continue
      const beside =
        besideNumber === null || besideResolved === null
          ? undefined
          : { number: besideNumber, variants: JSON.parse(besideResolved) as ResolvedVariant[] }
      const variants = servedVariants({ inForce: JSON.parse(resolved) as ResolvedVariant[], beside, baseline: row.baseline === 1 })
      endpoints.push({
        name,
        labels: JSON.parse(labels!) as Record<string, string>,
        generation: endpointGeneration!,
        revision: number,
        variants: variants.map(({ name: variant, model, version, versionId, digest, size, serving }): FollowedVariant => ({
          name: variant,
          model,
          version,
          versionId,
          digest,
          size,
          serving,
        })),
        routing: routingDocument({ ...row, weights, salt, segment }, JSON.parse(spec) as EndpointSpec, variants),
        ...(keys.has(id!) && { receiptKeys: keys.get(id!)! }),
      })
    }
    const state: FollowedState = {
      apiVersion: API_VERSION,
      kind: 'FollowedState',
      environment,
      source: await sourceOf(this.#ground.database.read),
      era,
      generation,
      endpoints: endpoints.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    }
    return { state, texts: new Map() }
  }

  /** The files of a version. @throws SLW_NOT_FOUND for one that is not of the environment, or lies in the trash */
  async manifest(scope: Scope, versionId: string): Promise<{ readonly manifest: VersionManifest; readonly models: readonly string[] }> {
    const { read } = this.#ground.database
    const version = await read
      .selectFrom('versions')
      .innerJoin('models', 'models.id', 'versions.model_id')
      .select(['digest', 'name'])
      .where('versions.id', '=', versionId)
      .where('environment', '=', scope.environment)
      .where('versions.deleted_at', 'is', null)
      .executeTakeFirst()
    if (version?.digest == null)
      throw new SlipwayError('SLW_NOT_FOUND', `no version of "${scope.environment}" with files has the id ${versionId}`)
    const files = await read
      .selectFrom('files')
      .innerJoin('contents', 'contents.id', 'files.content_id')
      .select(['path', 'content_id as contentId', 'files.size', 'chunks'])
      .where('root', '=', `version:${versionId}`)
      .execute()
    const manifest: VersionManifest = {
      versionId,
      digest: version.digest,
      files: files.map(({ path, contentId, size, chunks }) => ({ path, contentId, size, chunks: chunks === '' ? [] : chunks.split(' ') })),
    }
    return { manifest, models: [version.name] }
  }

  /** The size of a content of versions of the environment, and the models of these versions. @throws SLW_NOT_FOUND */
  async contentOf(scope: Scope, contentId: string): Promise<{ readonly size: number; readonly models: readonly string[] }> {
    const found = await this.#ground.database.read
      .selectFrom('files')
      .innerJoin('versions', (join) =>
        join.on((columns) => columns(columns.fn<string>('substr', ['root', columns.lit(9)]), '=', columns.ref('versions.id'))),
      )
      .innerJoin('models', 'models.id', 'versions.model_id')
      .select(['files.size', 'name'])
      .where('content_id', '=', contentId)
      .where('environment', '=', scope.environment)
      .execute()
    const [first] = found
    if (first === undefined) throw new SlipwayError('SLW_NOT_FOUND', `no version of "${scope.environment}" has the content ${contentId}`)
    return { size: first.size, models: [...new Set(found.map(({ name }) => name))] }
  }
}
