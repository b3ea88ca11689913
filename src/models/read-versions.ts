import { jsonOf } from '../storage/sql/json-of.ts'
import { SlipwayError } from '../core/errors.ts'
import { byText, groupTags } from '../ledger/tags.ts'
import type { Kysely, Selectable } from 'kysely'
import type { Schema } from '../storage/sql/schema.ts'
import type { GateResultsRow, ModelsRow, VersionsRow } from './tables.ts'
import { verdictWith } from '../contract/gate-report.ts'
import type { GateConclusion, GateSummary } from '../contract/gate-report.ts'
import type { Inspection, ScanCheck } from '../contract/inspection.ts'
import type { SignatureDocument } from '../contract/signature-document.ts'
import type { Tag } from '../ledger/tags.ts'

export const STAGES = ['None', 'Staging', 'Production', 'Archived'] as const
export type Stage = (typeof STAGES)[number]

export type Approval = 'none' | 'pending' | 'approved' | 'rejected'

/** The origin of a version. */
export interface Provenance {
  readonly runId?: string
  readonly datasetVersion?: string
  readonly codeCommit?: string
  /** The version that it was copied or made from, such as `churn/3`. */
  readonly parentVersion?: string
  /** The version of another environment that it was copied from. */
  readonly promotedFrom?: { readonly environment: string; readonly version: number }
}

/** A version, which is an immutable set of files, as lists show it. */
export interface VersionSummary {
  readonly id: string
  readonly modelId: string
  readonly model: string
  readonly number: number
  readonly description: string | undefined
  /** Source of the files, as the client named it at registration. */
  readonly source: string
  /** Place of the files, which keeps its meaning whatever is renamed or deleted here; undefined if they are in this registry. */
  readonly location: string | undefined
  readonly runId: string | undefined
  readonly runLink: string | undefined
  readonly loggedModelId: string | undefined
  readonly stage: Stage
  readonly status: 'PENDING_REGISTRATION' | 'READY' | 'FAILED_REGISTRATION'
  readonly statusMessage: string | undefined
  /** Digest of the files; undefined if they are not in this registry. */
  readonly digest: string | undefined
  /** Bytes of all files. */
  readonly size: number | undefined
  readonly servable: boolean
  /** Reason why the version cannot be served. */
  readonly servableReason: string | undefined
  readonly approval: Approval
  /** Actor, reason and time of the approval or rejection. */
  readonly approvalBy: string | undefined
  readonly approvalReason: string | undefined
  readonly approvalAt: number | undefined
  /** Grows with every change. */
  readonly resourceVersion: number
  readonly deletedAt: number | undefined
  readonly provenance: Provenance
  readonly createdBy: string
  readonly createdAt: number
  readonly updatedAt: number
  readonly tags: readonly Tag[]
  readonly aliases: readonly string[]
  /** The newest result of each gate that was run, by name. */
  readonly gates: readonly GateSummary[]
}

/** A version with all its documents. */
export interface Version extends VersionSummary {
  /** Inputs and outputs of the model, if known. */
  readonly signature: SignatureDocument | undefined
  /** Metrics of the run and the logged model that it came from, as they were at registration. */
  readonly metrics: Readonly<Record<string, number>>
  readonly examples: Inspection['examples']
  readonly scan: readonly ScanCheck[]
}

/** Columns of summaries. The other columns are documents, and those of a hundred versions may be megabytes. */
export const SUMMARY_COLUMNS = [
  'versions.id',
  'versions.model_id',
  'versions.number',
  'versions.description',
  'versions.source',
  'versions.location',
  'versions.run_id',
  'versions.run_link',
  'versions.logged_model_id',
  'versions.stage',
  'versions.status',
  'versions.status_message',
  'versions.digest',
  'versions.size',
  'versions.servable',
  'versions.servable_reason',
  'versions.approval',
  'versions.approval_by',
  'versions.approval_reason',
  'versions.approval_at',
  'versions.provenance',
  'versions.created_by',
  'versions.created_at',
  'versions.updated_at',
  'versions.deleted_at',
  'versions.revision',
] as const

export type VersionSummaryRow = Omit<Selectable<VersionsRow>, 'signature' | 'metrics' | 'examples' | 'scan'>

/** Reads versions with everything that belongs to them, in the order given. */
export async function readVersions(read: Kysely<Schema>, rows: readonly Selectable<VersionsRow>[]): Promise<Version[]> {
  const summaries = await readVersionSummaries(read, rows)
  return summaries.map((summary, index) => withDocuments(summary, rows[index]!))
}

/** Reads summaries of versions with their tags and aliases, in the order given. */
export async function readVersionSummaries(read: Kysely<Schema>, rows: readonly VersionSummaryRow[]): Promise<VersionSummary[]> {
  if (rows.length === 0) return []
  const ids = rows.map(({ id }) => id)
  const [tags, aliases, gates, models] = await Promise.all([
    read.selectFrom('version_tags').select(['version_id as owner', 'key', 'value']).where('version_id', 'in', ids).execute(),
    read.selectFrom('aliases').select(['version_id', 'alias']).where('version_id', 'in', ids).execute(),
    gateRows(read, ids),
    read
      .selectFrom('models')
      .select(['id', 'name'])
      .where('id', 'in', [...new Set(rows.map((row) => row.model_id))])
      .execute(),
  ])
  const tagsOf = groupTags(tags)
  const aliasesOf = Map.groupBy(aliases, (alias) => alias.version_id)
  const gatesOf = Map.groupBy(gates, (gate) => gate.version_id)
  const names = new Map(models.map(({ id, name }) => [id, name]))
  return rows.map((row) =>
    toSummary(row, {
      model: names.get(row.model_id) ?? '',
      tags: tagsOf.get(row.id) ?? [],
      aliases: (aliasesOf.get(row.id) ?? []).map(({ alias }) => alias).toSorted(byText((alias) => alias)),
      gates: (gatesOf.get(row.id) ?? []).map((gate) => gateSummary(gate, row.approval)),
    }),
  )
}

type GateRow = Omit<Selectable<GateResultsRow>, 'report'>

async function gateRows(read: Kysely<Schema>, versionIds: readonly string[]): Promise<GateRow[]> {
  return await read
    .selectFrom('gate_results')
    .select(['version_id', 'gate', 'measured', 'asks_approval', 'created_by', 'created_at'])
    .where('version_id', 'in', versionIds)
    .orderBy('gate')
    .execute()
}

/** @param approval of the version, which results may wait for */
export function gateSummary(row: GateRow, approval: string): GateSummary {
  const conclusion = { measured: row.measured as GateConclusion['measured'], asksApproval: row.asks_approval === 1 }
  return { gate: row.gate, verdict: verdictWith(conclusion, approval), createdBy: row.created_by, createdAt: row.created_at }
}

type Belongings = Pick<VersionSummary, 'model' | 'tags' | 'aliases' | 'gates'>

/** Makes a version from a row, with the model's name, tags and aliases. */
export function toVersion(row: Selectable<VersionsRow>, belongings: Belongings): Version {
  return withDocuments(toSummary(row, belongings), row)
}

/** Documents may be long: each is parsed only when it is accessed. */
function withDocuments(summary: VersionSummary, row: Selectable<VersionsRow>): Version {
  return {
    ...summary,
    get signature() {
      return jsonOf(row.signature) as SignatureDocument | undefined
    },
    get metrics() {
      return (jsonOf(row.metrics) ?? {}) as Record<string, number>
    },
    get examples() {
      return jsonOf(row.examples) as Inspection['examples']
    },
    get scan() {
      return (jsonOf(row.scan) ?? []) as ScanCheck[]
    },
  }
}

function toSummary(row: VersionSummaryRow, { model, tags, aliases, gates }: Belongings): VersionSummary {
  return {
    id: row.id,
    modelId: row.model_id,
    model: model,
    number: row.number,
    description: row.description ?? undefined,
    source: row.source,
    location: row.location ?? undefined,
    runId: row.run_id ?? undefined,
    runLink: row.run_link ?? undefined,
    loggedModelId: row.logged_model_id ?? undefined,
    stage: row.stage as Stage,
    status: row.status as Version['status'],
    statusMessage: row.status_message ?? undefined,
    digest: row.digest ?? undefined,
    size: row.size ?? undefined,
    servable: row.servable === 1,
    servableReason: row.servable_reason ?? undefined,
    approval: row.approval as Approval,
    approvalBy: row.approval_by ?? undefined,
    approvalReason: row.approval_reason ?? undefined,
    approvalAt: row.approval_at ?? undefined,
    resourceVersion: row.revision,
    deletedAt: row.deleted_at ?? undefined,
    provenance: JSON.parse(row.provenance) as Provenance,
    createdBy: row.created_by,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    tags,
    aliases,
    gates,
  }
}

/** Reads a version that is not in the trash. @throws SLW_NOT_FOUND; SLW_INPUT_INVALID for a number that is no integer */
export async function requireVersion(read: Kysely<Schema>, model: Selectable<ModelsRow>, number: string): Promise<Selectable<VersionsRow>> {
  const wanted = requireNumber(number)
  const row = await read
    .selectFrom('versions')
    .selectAll()
    .where('model_id', '=', model.id)
    .where('number', '=', wanted)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  if (row === undefined) throw new SlipwayError('SLW_NOT_FOUND', `Model Version (name=${model.name}, version=${number}) not found`)
  return row
}

/** @throws SLW_INPUT_INVALID */
export function requireNumber(number: string): number {
  if (/^-?\d{1,15}$/.test(number)) return Number(number)
  throw new SlipwayError('SLW_INPUT_INVALID', `Parameter 'version' must be an integer, got '${number}'.`)
}
