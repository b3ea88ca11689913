import { join } from 'node:path'
import { ALIAS_ROUTES } from '../../api/v1/alias-routes.ts'
import { GATE_ROUTES } from '../../api/v1/gate-routes.ts'
import { MODEL_ROUTES, retoldModel } from '../../api/v1/model-routes.ts'
import { PROMOTE_ROUTES } from '../../api/v1/promote-routes.ts'
import { SIGNER_ROUTES } from '../../api/v1/signer-routes.ts'
import { retoldVersion, VERSION_ROUTES } from '../../api/v1/version-routes.ts'
import { Aliases } from '../../models/aliases.ts'
import { GateResults } from '../../models/gate-results.ts'
import { Inspector } from '../../models/inspector.ts'
import { anyModelIn, Models } from '../../models/models.ts'
import { Files } from '../../models/placed-files.ts'
import { Signers } from '../../models/signers.ts'
import { MODELS_MIGRATIONS } from '../../models/migrations.ts'
import { MODELS_EVENTS, MODELS_TABLES } from '../../models/tables.ts'
import { purgeModelTrash } from '../../models/trash.ts'
import { Versions } from '../../models/versions.ts'
import { openScratchFolder } from '../../core/scratch-folder.ts'
import { tryOut } from '../try-out.ts'
import type { News } from '../../api/news.ts'
import type { Contents } from '../../files/contents.ts'
import type { PartUploads } from '../../files/part-uploads.ts'
import type { Environments } from '../../ledger/environments.ts'
import type { History } from '../../ledger/history.ts'
import type { Dependents } from '../../models/dependents.ts'
import type { Inspect } from '../../models/servable.ts'
import type { Foundation, Room } from '../room.ts'

interface Needs extends Foundation {
  readonly contents: Contents
  readonly partUploads: PartUploads
  readonly environments: Environments
  readonly history: History
  readonly news: News
}

export interface ModelServices {
  readonly models: Models
  readonly versions: Versions
  readonly aliases: Aliases
  readonly signers: Signers
  readonly gateResults: GateResults
  /** Files of runs, logged models and versions. */
  readonly files: Files
  /** Inspects the files of versions. */
  readonly inspect: Inspect
  /** Rooms that build on versions and aliases; each adds itself. */
  readonly dependents: Dependents[]
}

/** Models, their versions, and the aliases of these. */
export const MODELS: Room<Needs, ModelServices> = {
  tables: MODELS_TABLES,
  migrations: MODELS_MIGRATIONS,
  events: MODELS_EVENTS,
  routes: [...MODEL_ROUTES, ...VERSION_ROUTES, ...ALIAS_ROUTES, ...PROMOTE_ROUTES, ...SIGNER_ROUTES, ...GATE_ROUTES],
  retold: { model: retoldModel, version: retoldVersion },
  async open({ ground: below, contents, partUploads, environments, settings, opened, ending }) {
    const { path: folder } = opened.use(await openScratchFolder(join(settings.data, 'inspecting')))
    const { inspect } = new Inspector({ contents, folder, tryOut, clock: below.clock, ending })
    const dependents: Dependents[] = []
    const ground = { ...below, dependents }
    environments.receive({ occupied: anyModelIn })
    return {
      models: new Models(ground),
      versions: new Versions(ground, inspect),
      aliases: new Aliases(ground),
      signers: new Signers(ground, contents),
      gateResults: new GateResults(ground),
      files: new Files(ground, contents, partUploads),
      inspect,
      dependents,
    }
  },
  sweep: async ({ ground }, { database }) => await purgeModelTrash({ ...ground, database }),
}
