import { Aliases } from '../../src/models/aliases.ts'
import { Experiments } from '../../src/tracking/experiments.ts'
import { History } from '../../src/ledger/history.ts'
import { LoggedModels } from '../../src/tracking/logged-models.ts'
import { Models } from '../../src/models/models.ts'
import { RunData } from '../../src/tracking/run-data.ts'
import { Runs } from '../../src/tracking/runs.ts'
import { judgeByNames } from '../../src/models/servable.ts'
import { Versions } from '../../src/models/versions.ts'
import type { Kysely } from 'kysely'
import type { Database } from '../../src/storage/sql/database.ts'
import type { Schema } from '../../src/storage/sql/schema.ts'
import type { RegistryGround } from '../../src/models/dependents.ts'
import type { Inspect } from '../../src/models/servable.ts'

/** Experiments and models, as the rooms of a control plane open them, without a control plane. */
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
