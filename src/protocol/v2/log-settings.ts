/** The logging extension of Triton (its docs/protocol/extension_logging.md). */
import { SlipwayError } from '../../core/errors.ts'

/** What is logged, and where to. */
export interface LogSettings {
  /** Empty: the standard output. */
  readonly log_file: string
  readonly log_info: boolean
  readonly log_warning: boolean
  readonly log_error: boolean
  /** 1 with debug lines, else 0. */
  readonly log_verbose_level: number
  /** Times are those of ISO 8601, as the format of that name has them; lines are JSON. */
  readonly log_format: 'ISO8601'
}

/** Levels from few lines to many; each has those of the levels before it. */
const LEVELS = ['silent', 'error', 'warn', 'info', 'debug'] as const
type Level = (typeof LEVELS)[number]

export function logSettings(level: string, file: string | undefined): LogSettings {
  const rank = Math.max(0, LEVELS.indexOf(level as Level))
  return {
    log_file: file ?? '',
    log_info: rank >= 3,
    log_warning: rank >= 2,
    log_error: rank >= 1,
    log_verbose_level: rank >= 4 ? 1 : 0,
    log_format: 'ISO8601',
  }
}

const SWITCHES = ['log_error', 'log_warning', 'log_info'] as const

/**
 * The level that is meant by a change of settings. Levels are ordered here: lines of one come with those of all that are graver.
 * @param changes by the names of {@link LogSettings}
 * @throws SLW_NOT_IMPLEMENTED for what a running server does not change, SLW_BAD_REQUEST for what is no setting
 */
export function levelMeant(present: LogSettings, changes: Readonly<Record<string, unknown>>): string {
  const wanted: Record<string, unknown> = { ...present }
  for (const [name, value] of Object.entries(changes)) {
    if (!Object.hasOwn(present, name))
      throw new SlipwayError('SLW_BAD_REQUEST', `log settings: there is no "${name}"; there are ${Object.keys(present).join(', ')}`)
    if ((name === 'log_file' || name === 'log_format') && value !== present[name])
      throw new SlipwayError(
        'SLW_NOT_IMPLEMENTED',
        `log settings: "${name}" does not change while the server runs; it is ${JSON.stringify(present[name])}`,
      )
    const isSwitch = name !== 'log_file' && name !== 'log_format' && name !== 'log_verbose_level'
    if (isSwitch && typeof value !== 'boolean') throw new SlipwayError('SLW_BAD_REQUEST', `log settings: "${name}": expected true or false`)
    wanted[name] = value
  }
  const verbose = Number(wanted['log_verbose_level'])
  if (typeof wanted['log_verbose_level'] === 'boolean' || !Number.isSafeInteger(verbose) || verbose < 0)
    throw new SlipwayError('SLW_BAD_REQUEST', 'log settings: "log_verbose_level": expected a whole number, 0 or more')
  const off = SWITCHES.findIndex((name) => wanted[name] === false)
  const rank = off === -1 ? SWITCHES.length : off
  const stray = verbose > 0 && rank < SWITCHES.length ? 'log_verbose_level' : SWITCHES.slice(rank).find((name) => wanted[name] === true)
  if (stray !== undefined)
    throw new SlipwayError(
      'SLW_BAD_REQUEST',
      `log settings: "${stray}" without "${SWITCHES[rank]!}": lines come with those of everything that is graver; change both`,
    )
  return LEVELS[verbose > 0 ? LEVELS.length - 1 : rank]!
}
