import { SlipwayError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import type { Administration } from '../protocol/http/admin.ts'
import type { Source } from './source.ts'

/** Operations of administration on the source and the log of this process. */
export function administer(source: Source, log: Pick<Logger, 'level'>): Administration {
  return {
    models: () => Promise.resolve(source.models()),
    switchTo: (model, target) => source.switchTo(model, target),
    load: (model) => source.load(model),
    add: (model) => source.add(model),
    remove: (model) => source.remove(model),
    setServing: (model, serving) => source.setServing(model, serving),
    unload: (model) => source.unload(model),
    logLevel: () => Promise.resolve(log.level ?? 'info'),
    setLogLevel(level) {
      if (log.level === undefined) return Promise.reject(new SlipwayError('SLW_NOT_IMPLEMENTED', 'the logger of this server has no level'))
      log.level = level
      return Promise.resolve()
    },
  }
}
