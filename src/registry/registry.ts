import { Aliases } from './aliases.ts'
import { Experiments } from './experiments.ts'
import { History } from '../ledger/history.ts'
import { LoggedModels } from './logged-models.ts'
import { Models } from './models.ts'
import { RunData } from './run-data.ts'
import { Runs } from './runs.ts'
import { judgeByNames } from './servable.ts'
import { Versions } from './versions.ts'
import type { Kysely } from 'kysely'
import type { Database } from '../storage/sql/database.ts'
import type { Schema } from '../storage/sql/schema.ts'
import type { RegistryGround } from './dependents.ts'
import type { Inspect } from './servable.ts'

/** Experiments and models, their runs and versions, and the names that point to them. */
export class Registry {
  readonly read: Kysely<Schema>
  readonly write: Database['write']
  readonly dialect: Database['dialect']
  readonly ground: RegistryGround
  readonly experiments: Experiments
  readonly runs: Runs
  readonly runData: RunData
  readonly loggedModels: LoggedModels
  readonly models: Models
  readonly versions: Versions
  readonly aliases: Aliases
  readonly history: History

  /** @param inspect finds out what the files of versions are. Default: by their names alone, where nothing can be read */
  constructor(ground: RegistryGround, inspect: Inspect = async (files) => judgeByNames(files)) {
    this.read = ground.database.read
    this.write = (work) => ground.database.write(work)
    this.ground = ground
    this.dialect = ground.database.dialect
    this.experiments = new Experiments(ground)
    this.runs = new Runs(ground)
    this.runData = new RunData(ground)
    this.loggedModels = new LoggedModels(ground)
    this.models = new Models(ground)
    this.versions = new Versions(ground, inspect)
    this.aliases = new Aliases(ground)
    this.history = new History(ground)
  }
}
