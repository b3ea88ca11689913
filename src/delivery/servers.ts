import { SlipwayError } from '../core/errors.ts'
import { faultPoint } from '../core/fail-point.ts'
import { record } from '../ledger/events.ts'
import { KEPT_REVISIONS } from './revisions.ts'
import { joinAs, requireUnspoken, speakFor } from './speakers.ts'
import type { JoinToken, Speaker } from './speakers.ts'
import type { Kysely, Selectable } from 'kysely'
import type { ServerReport, VersionCondition } from '../contract/followed-state.ts'
import type { Ground, Scope, Write } from '../ledger/scope.ts'
import type { Schema } from '../storage/sql/schema.ts'
import type { ServerReportsRow } from './tables.ts'

/** A server that follows endpoints, as of its last report. */
export interface FollowingServer {
  readonly name: string
  readonly bootId: string
  readonly release: string
  readonly url: string | undefined
  /** Whether its last report has not expired. */
  readonly live: boolean
  readonly staleSeconds: number
  /** Milliseconds that its clock is ahead of ours; the transit time of the report is part of them. */
  readonly clockSkewMs: number
  readonly message: string | undefined
  readonly firstSeenAt: number
  readonly lastSeenAt: number
}

/** The report of a server about one endpoint. */
export interface ReportOf {
  readonly server: string
  readonly live: boolean
  /** The revision that the server knows of. */
  readonly revision: number
  /** Segment of the routing that the server applies; undefined if its release does not report it. */
  readonly segment?: number
  readonly versions: readonly VersionCondition[]
  readonly reportedAt: number
}

/** Time after the expiry of its last report at which a server is forgotten. */
const FORGET_MS = 7 * 24 * 3600 * 1000
/** Retention of the history of reports. */
const HISTORY_MS = 90 * 24 * 3600 * 1000

/** Time until a server that has joined reports. */
const JOINED_MS = 50_000
/** Servers that follow endpoints, and their reports. */
export class Servers {
  readonly #ground: Ground

  constructor(ground: Ground) {
    this.#ground = ground
  }

  /** @throws SLW_FORBIDDEN where another key speaks for the server */
  async requireSpeaker(scope: Scope, name: string, speaker: Speaker): Promise<void> {
    const nowMs = this.#ground.clock.epochMs()
    await this.#ground.database.write((write) => requireUnspoken(write, scope, name, { speaker, nowMs }))
  }

  /**
   * Stores the report of a server in place of the one before; changes of an endpoint are kept as history.
   * @param speaker undefined for callers who may speak for every server
   * @throws SLW_FORBIDDEN where the key does not speak for the server
   */
  async report(scope: Scope, name: string, report: ServerReport, speaker: Speaker | undefined): Promise<void> {
    const { database, clock } = this.#ground
    const at = clock.epochMs()
    const expires = at + report.expiresInMs
    await database.write(async (write) => {
      if (speaker !== undefined) await speakFor(write, scope, name, { speaker, nowMs: at, untilMs: expires })
      const set = {
        boot_id: report.bootId,
        release: report.release,
        url: report.url ?? null,
        stale_seconds: report.staleSeconds,
        clock_skew_ms: report.sentAt - at,
        message: report.message ?? null,
        follows: report.follows ?? null,
        key_id: speaker?.keyId ?? null,
        last_seen_at: at,
        expires_at: expires,
      }
      await write
        .insertInto('servers')
        .values({ environment: scope.environment, name, ...set, first_seen_at: at })
        .onConflict((conflict) => conflict.columns(['environment', 'name']).doUpdateSet(set))
        .execute()
      await faultPoint('report.server')
      const endpoints = await endpointIds(
        write,
        scope,
        report.endpoints.map((endpoint) => endpoint.name),
      )
      const before = await write
        .selectFrom('server_reports')
        .selectAll()
        .where('environment', '=', scope.environment)
        .where('server', '=', name)
        .execute()
      await write
        .updateTable('server_reports')
        .set({ reported_at: at, expires_at: expires })
        .where('environment', '=', scope.environment)
        .where('server', '=', name)
        .execute()
      const known = new Map(before.map((row) => [row.endpoint_id, row]))
      for (const { name: endpoint, revision, segment = null, versions } of report.endpoints) {
        const id = endpoints.get(endpoint)
        if (id === undefined) continue
        const earlier = known.get(id)
        const row = { revision, segment, versions: JSON.stringify(versions), reported_at: at, expires_at: expires }
        if (earlier !== undefined && isSame(earlier, row)) continue
        await write
          .insertInto('server_reports')
          .values({ environment: scope.environment, server: name, endpoint_id: id, ...row })
          .onConflict((conflict) => conflict.columns(['environment', 'server', 'endpoint_id']).doUpdateSet(row))
          .execute()
        await faultPoint('report.endpoint')
        if (earlier !== undefined && earlier.revision === revision && settled(earlier.versions) === settled(row.versions)) continue
        const change = { revision, versions: row.versions }
        await write
          .insertInto('server_report_changes')
          .values({ endpoint_id: id, server: name, at, ...change })
          .onConflict((conflict) => conflict.columns(['endpoint_id', 'server', 'at']).doUpdateSet(change))
          .execute()
      }
      // Endpoints that the server no longer follows.
      const followed = new Set(endpoints.values())
      const gone = before.map((row) => row.endpoint_id).filter((id) => !followed.has(id))
      if (gone.length > 0)
        await write
          .deleteFrom('server_reports')
          .where('environment', '=', scope.environment)
          .where('server', '=', name)
          .where('endpoint_id', 'in', gone)
          .execute()
    })
  }

  /**
   * A server process joins under a name. It takes the place of another process of that name, which is told so when it asks again.
   * @param again whether the process had joined before and its key was refused since
   * @param token by which it joins; undefined for callers who may take any place
   * @throws SLW_CONFLICT for a process whose place another one has taken, while that one reports, and for the name of a server that goes on
   *   and has joined by another token
   */
  async join(
    scope: Scope,
    name: string,
    {
      bootId,
      again,
      token,
    }: {
      readonly bootId: string
      readonly again: boolean
      readonly token: JoinToken | undefined
    },
  ): Promise<void> {
    const { database, clock } = this.#ground
    const at = clock.epochMs()
    await database.write(async (write) => {
      const row = await write
        .selectFrom('servers')
        .select(['boot_id', 'expires_at'])
        .where('environment', '=', scope.environment)
        .where('name', '=', name)
        .executeTakeFirst()
      const other = row !== undefined && row.expires_at > at && row.boot_id !== bootId
      if (other && again)
        throw new SlipwayError(
          'SLW_CONFLICT',
          `another server has joined as "${name}" and taken the place of this one: stop one of them, or give it another --server-name`,
          { retryAfterMs: row.expires_at - at },
        )
      await joinAs(write, scope, name, { token, nowMs: at, untilMs: at + JOINED_MS })
      const joined = { boot_id: bootId, last_seen_at: at, expires_at: at + JOINED_MS, key_id: null }
      await write
        .insertInto('servers')
        .values({
          environment: scope.environment,
          name,
          ...joined,
          release: '',
          url: null,
          stale_seconds: 0,
          clock_skew_ms: 0,
          message: null,
          follows: null,
          first_seen_at: at,
        })
        .onConflict((conflict) => conflict.columns(['environment', 'name']).doUpdateSet(joined))
        .execute()
      const before = other ? { before: { bootId: row.boot_id } } : {}
      await record(write, scope, at, { kind: 'server', name, action: other ? 'replaced' : 'joined', ...before, after: { bootId } })
    })
  }

  /** Servers in the order of their names. */
  async list(scope: Scope): Promise<FollowingServer[]> {
    const now = this.#ground.clock.epochMs()
    const rows = await this.#ground.database.read.selectFrom('servers').selectAll().where('environment', '=', scope.environment).execute()
    return rows
      .map((row) => ({
        name: row.name,
        bootId: row.boot_id,
        release: row.release,
        url: row.url ?? undefined,
        live: row.expires_at > now,
        staleSeconds: row.stale_seconds,
        clockSkewMs: row.clock_skew_ms,
        message: row.message ?? undefined,
        firstSeenAt: row.first_seen_at,
        lastSeenAt: row.last_seen_at,
      }))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** The last reports of servers about these endpoints, by the endpoint's id, including those that have expired. */
  async reports(ids: readonly string[]): Promise<Map<string, ReportOf[]>> {
    if (ids.length === 0) return new Map()
    const now = this.#ground.clock.epochMs()
    const rows = await this.#ground.database.read.selectFrom('server_reports').selectAll().where('endpoint_id', 'in', ids).execute()
    const reports = rows.map((row) => ({
      id: row.endpoint_id,
      server: row.server,
      live: row.expires_at > now,
      revision: row.revision,
      ...(row.segment !== null && { segment: row.segment }),
      versions: JSON.parse(row.versions) as VersionCondition[],
      reportedAt: row.reported_at,
    }))
    return Map.groupBy(
      reports.toSorted((a, b) => (a.server < b.server ? -1 : 1)),
      ({ id }) => id,
    )
  }

  /** The last report of each server about an endpoint up to a moment. */
  async reportsAt(endpointId: string, at: number): Promise<ReportOf[]> {
    const rows = await this.#ground.database.read
      .selectFrom('server_report_changes as one')
      .selectAll()
      .where('endpoint_id', '=', endpointId)
      .where('at', '=', (query) =>
        query
          .selectFrom('server_report_changes as other')
          .select((columns) => columns.fn.max('other.at').as('at'))
          .whereRef('other.endpoint_id', '=', 'one.endpoint_id')
          .whereRef('other.server', '=', 'one.server')
          .where('other.at', '<=', at),
      )
      .orderBy('server')
      .execute()
    return rows.map(({ server, revision, versions, at: reportedAt }) => ({
      server,
      live: true,
      revision,
      versions: JSON.parse(versions) as VersionCondition[],
      reportedAt,
    }))
  }

  /** Deletes servers whose report expired a week ago, and old history except what still holds. @returns the number of deleted servers */
  async sweep(): Promise<number> {
    const now = this.#ground.clock.epochMs()
    const before = now - FORGET_MS
    return await this.#ground.database.write(async (write) => {
      await write
        .deleteFrom('server_report_changes')
        .where('at', '<', now - HISTORY_MS)
        .where((columns) =>
          columns.exists(
            columns
              .selectFrom('server_report_changes as later')
              .select('later.at')
              .whereRef('later.endpoint_id', '=', 'server_report_changes.endpoint_id')
              .whereRef('later.server', '=', 'server_report_changes.server')
              .whereRef('later.at', '>', 'server_report_changes.at'),
          ),
        )
        .execute()
      await write.deleteFrom('server_reports').where('expires_at', '<', before).execute()
      await write.deleteFrom('speakers').where('held_until', '<', before).execute()
      const { numDeletedRows } = await write.deleteFrom('servers').where('expires_at', '<', before).executeTakeFirst()
      return Number(numDeletedRows)
    })
  }
}

type Said = Pick<Selectable<ServerReportsRow>, 'revision' | 'segment' | 'versions'>

function isSame(a: Said, b: Said): boolean {
  return a.revision === b.revision && a.segment === b.segment && a.versions === b.versions
}

/** Conditions without the progress of downloads, which is no change of its own. */
function settled(versions: string): string {
  return JSON.stringify((JSON.parse(versions) as VersionCondition[]).map(({ progress: _progress, ...rest }) => rest))
}

async function endpointIds(read: Write, scope: Scope, names: readonly string[]): Promise<Map<string, string>> {
  if (names.length === 0) return new Map()
  const rows = await read
    .selectFrom('endpoints')
    .select(['id', 'name'])
    .where('environment', '=', scope.environment)
    .where('deleted_at', 'is', null)
    .where('name', 'in', names)
    .execute()
  return new Map(rows.map(({ id, name }) => [name, id]))
}

/**
 * Endpoints and revisions that serve one of these versions, or may have to return to it: the last ten revisions, and those that a server
 * reports.
 */
export async function usersOf(read: Kysely<Schema>, versionIds: readonly string[], now: number): Promise<string[]> {
  if (versionIds.length === 0) return []
  const rows = await read
    .selectFrom('revision_versions')
    .innerJoin('endpoints', 'endpoints.id', 'revision_versions.endpoint_id')
    .select(['name', 'number', 'current_revision', 'endpoints.id'])
    .where('version_id', 'in', versionIds)
    .where('deleted_at', 'is', null)
    .where((columns) =>
      columns.or([
        columns('number', '>', columns('current_revision', '-', KEPT_REVISIONS)),
        columns.exists(
          columns
            .selectFrom('server_reports')
            .select('server')
            .whereRef('server_reports.endpoint_id', '=', 'endpoints.id')
            .whereRef('server_reports.revision', '=', 'revision_versions.number')
            .where('expires_at', '>', now),
        ),
      ]),
    )
    .orderBy('name')
    .orderBy('number')
    .execute()
  return rows.map(
    ({ name, number, current_revision: current }) => `revision ${number} of endpoint ${name}${number === current ? ' (in force)' : ''}`,
  )
}
