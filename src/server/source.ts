import type { FeedbackItem } from '../contract/feedback.ts'
import type { SlipwayError } from '../core/errors.ts'
import type { FollowStatus } from '../following/types.ts'
import type { SkippedEntry } from '../model/layout.ts'
import type { Repository } from '../serving/repository/repository.ts'

/** Source of the desired state of a server: files, or a control plane. */
export interface Source extends Pick<
  Repository,
  'models' | 'switchTo' | 'load' | 'add' | 'remove' | 'setServing' | 'unload' | 'rescan' | 'close'
> {
  /**
   * Serves the present state, and from then on every change of it.
   * @returns errors of models that could not be loaded. @throws the first of them, where no model could
   */
  begin(bound: Bound): Promise<readonly SlipwayError[]>
  /** Keeps labels of predictions until the control plane has them. Undefined: there is none. */
  readonly takeFeedback?: (items: readonly FeedbackItem[]) => Promise<void>
  /** State of the source, for health and metrics. */
  readonly state: () => SourceState
}

export interface SourceState {
  /** State of following; undefined where files are served. */
  readonly following?: FollowStatus | undefined
  /** Entries of the folders that are not served. */
  readonly skipped: readonly SkippedEntry[]
}

/** Address and readiness of the server, once it listens. */
export interface Bound {
  readonly url: string
  readonly port: number
  /** Whether any model can answer. */
  readonly anyReady: () => boolean | Promise<boolean>
}

/** Folders of models, as a source. */
export function sourceOfFiles(repository: Repository, pollMs: number): Source {
  return {
    models: () => repository.models(),
    state: () => ({ skipped: repository.skipped() }),
    switchTo: (name, target) => repository.switchTo(name, target),
    load: (name) => repository.load(name),
    add: (model) => repository.add(model),
    remove: (name) => repository.remove(name),
    setServing: (name, serving) => repository.setServing(name, serving),
    unload: (name) => repository.unload(name),
    rescan: (anew) => repository.rescan(anew),
    close: () => repository.close(),
    async begin({ anyReady }) {
      const starting = repository.start()
      // One model that takes long to load keeps the folders of the others from nothing.
      if (pollMs > 0) repository.poll(pollMs)
      const failures = (await starting).map((failed) => failed.error)
      const [failure] = failures
      if (failure !== undefined && !(await anyReady())) throw failure
      return failures
    },
  }
}
