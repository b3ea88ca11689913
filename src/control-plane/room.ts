import type { Kysely } from 'kysely'
import type { Door } from '../api/api-server.ts'
import type { Retold } from '../api/v1/v1-door.ts'
import type { V1Route } from '../api/v1/route.ts'
import type { Gauge } from '../core/gauges.ts'
import type { Logger } from '../core/log.ts'
import type { EventKind } from '../ledger/events.ts'
import type { Ground, Write } from '../ledger/scope.ts'
import type { KeptFolder } from '../core/disk-space.ts'
import type { ObjectStore } from '../storage/objects/object-store.ts'
import type { Database } from '../storage/sql/database.ts'
import type { Kept, StoredObject } from '../storage/backup/write-backup.ts'
import type { Migration } from '../storage/sql/migration.ts'
import type { Schema, Table } from '../storage/sql/schema.ts'
import type { WorkKind } from '../storage/work/worker.ts'
import type { Settings } from './settings.ts'

/** Services that every room builds on. */
export interface Foundation {
  readonly ground: Ground
  readonly objects: ObjectStore
  /** Folders of this machine in which the database and the objects lie. */
  readonly keptFolders: readonly KeptFolder[]
  readonly log: Logger
  readonly settings: Settings
  /** Name by which this process holds leases and work: never used twice. */
  readonly holder: string
  /** Static parts of all rooms together. */
  readonly house: House
  /** Aborted when no more requests are accepted: followers get no more news. */
  readonly ending: AbortSignal
  /** Resources to close with the control plane, the last first. */
  readonly opened: AsyncDisposableStack
}

/** Static parts of the rooms, known before these are open. */
export interface House extends Kept {
  readonly events: readonly EventKind[]
  /** What all rooms tell in `/metrics`. @param services of the open rooms */
  gauges(services: object): Promise<Gauge[]>
}

/**
 * One capability of the control plane, whole.
 * @typeParam Needs services that it needs of the rooms before it
 * @typeParam Gives services that it has for its own routes and work, and for the rooms after it
 */
export interface Room<Needs, Gives extends object> {
  /** Its tables, ordered so that rows come after those that they refer to; backups are made of them. Default: none. */
  readonly tables?: readonly Table[]
  /** Migrations of these tables, after the first ones that all rooms had together. Default: none. */
  readonly migrations?: readonly Migration[]
  /** Kinds of the objects that it changes. Default: none. */
  readonly events?: readonly EventKind[]
  /** Routes of `/api/v1`. Default: none. */
  readonly routes?: readonly V1Route<Needs & Gives>[]
  /** Rebuild a lost answer to a repeated request, by kinds of its objects. Default: the answer is reported as lost. */
  readonly retold?: Readonly<Partial<Record<EventKind, Retold<Needs & Gives>>>>
  /** Groups of routes beside `/api/v1`. Default: none. */
  readonly doors?: (services: Needs & Gives) => readonly Door[]
  readonly open: (needs: Needs) => Gives | Promise<Gives>
  /** What `/metrics` tells of it. Default: nothing. */
  readonly gauges?: (services: Needs & Gives) => Promise<readonly Gauge[]>
  /** Its work in the background. Default: none. */
  readonly work?: (services: Needs & Gives) => readonly WorkKind[]
  /** Deletes what is old. Safe to do twice: each step is one transaction. @returns counts by name */
  readonly sweep?: (services: Needs & Gives, sweep: Sweep) => Promise<Readonly<Record<string, number>>>
  /** The objects that its rows refer to, for backups. */
  readonly stored?: (read: Kysely<Schema>) => Promise<readonly StoredObject[]>
  /** Reads back the objects that its rows refer to. @returns those that are not there or have other bytes, in words */
  readonly damaged?: (read: Kysely<Schema>, objects: ObjectStore, onChecked: () => void) => Promise<readonly string[]>
  /** Called when a backup has been restored, within its transaction. */
  readonly restored?: (write: Write) => Promise<void>
}

export interface Sweep {
  /** Fenced: its transactions fail once another process has taken over. */
  readonly database: Database
  readonly signal: AbortSignal
}

/** Rooms in the order in which they open: each finds its needs in those before it, which the compiler checks. */
export class Rooms<Services extends Foundation> implements House {
  // The types of a room have been checked where it was added.
  readonly all: readonly Room<any, any>[]

  readonly tables: readonly Table[]
  readonly migrations: readonly Migration[]
  readonly events: readonly EventKind[]
  readonly routes: readonly V1Route<Services>[]
  readonly retold: Readonly<Record<string, Retold<Services>>>

  constructor(all: readonly Room<any, any>[]) {
    this.all = all
    this.tables = all.flatMap(({ tables = [] }) => tables)
    this.migrations = all.flatMap(({ migrations = [] }) => migrations).toSorted((a, b) => (a.name < b.name ? -1 : 1))
    this.events = all.flatMap(({ events = [] }) => events)
    this.routes = all.flatMap(({ routes = [] }) => routes)
    this.retold = Object.fromEntries(all.flatMap(({ retold = {} }) => Object.entries(retold))) as Record<string, Retold<Services>>
  }

  and<Gives extends object>(room: Room<Services, Gives>): Rooms<Services & Gives> {
    return new Rooms([...this.all, room])
  }

  async open(foundation: Foundation): Promise<Services> {
    let services: object = foundation
    for (const room of this.all) services = { ...services, ...(await room.open(services)) }
    return services as Services
  }

  doors(services: Services): Door[] {
    return this.all.flatMap(({ doors }) => doors?.(services) ?? [])
  }

  async gauges(services: object): Promise<Gauge[]> {
    return (await Promise.all(this.all.map(async ({ gauges }) => (await gauges?.(services)) ?? []))).flat()
  }

  work(services: Services): WorkKind[] {
    return this.all.flatMap(({ work }) => work?.(services) ?? [])
  }

  /** Sweeps the rooms in reverse: rows go before those that they refer to. */
  async sweep(services: Services, sweep: Sweep): Promise<Record<string, number>> {
    const counts: Record<string, number> = {}
    for (const room of this.all.toReversed()) Object.assign(counts, await room.sweep?.(services, sweep))
    return counts
  }

  async stored(read: Kysely<Schema>): Promise<StoredObject[]> {
    const found: StoredObject[] = []
    for (const room of this.all) found.push(...((await room.stored?.(read)) ?? []))
    return found
  }

  async damaged(read: Kysely<Schema>, objects: ObjectStore, onChecked: () => void): Promise<string[]> {
    const found: string[] = []
    for (const room of this.all) found.push(...((await room.damaged?.(read, objects, onChecked)) ?? []))
    return found
  }

  async restored(write: Write): Promise<void> {
    for (const room of this.all) await room.restored?.(write)
  }
}
