import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import { contradictionsInRollout, Rollout } from '../../contract/rollout.ts'
import { check } from '../../contract/schema.ts'
import { messageOf, SlipwayError } from '../../core/errors.ts'
import { asksRegistry, change, clientOf, part, show, showList } from '../control-plane/registry-command.ts'
import { note } from '../output.ts'
import { planText, planView, rolloutText, rolloutView, whyText } from './views.ts'
import { watchRollout } from './watch.ts'
import type { Command } from 'commander'
import type { RolloutAnswer, RolloutBody, RolloutCommand, RolloutPlan } from '../../contract/rollout-api.ts'
import type { RegistryClient } from '../control-plane/client.ts'
import type { RegistryOptions } from '../control-plane/registry-command.ts'

interface StartOptions extends RegistryOptions {
  readonly to?: string
  readonly file?: string
  readonly strategy?: string
  readonly steps?: string
  readonly bake?: string
  readonly onPromoted?: string
  readonly anew?: boolean
  readonly wait?: boolean
}

export function define(command: Command): void {
  const named = (name: string, description: string, changes = true): Command =>
    asksRegistry(command.command(name).description(description).argument('<endpoint>'), { changes })
  const starts = (of: Command): Command =>
    of
      .option('--to <version>', 'MODEL@ALIAS, MODEL/NUMBER, or an alias or number of its model; default: what it declares means now')
      .option('-f, --file <file>', 'YAML of a strategy, in place of that of the endpoint')
      .option('--strategy <name>', 'canary, linear, shadow-then-canary, blue-green, ab, all-at-once')
      .option('--steps <percents>', 'of a canary, such as 5,25,50')
      .option('--bake <duration>', 'how long each step lasts at least, such as 10m')
  starts(named('plan', 'what a rollout would do, and how long each outcome takes to be seen', false)).action(plan)
  starts(named('start', 'walk an endpoint to another version, judged by what happens to users'))
    .option('--on-promoted <alias>', 'alias=NAME points to the version once it is promoted')
    .option('--anew', 'forget what was shown of the same versions before, as something else was mended')
    .option('--wait', 'watch it to its end')
    .action(start)
  named('show', 'the latest rollout of an endpoint, or one by its number', false)
    .option('--number <n>', 'which one')
    .action(shown(rolloutText))
  named('why', 'each transition with the numbers behind it', false).option('--number <n>', 'which one').action(shown(whyText))
  named('watch', 'the rollout as it goes, to its end; exit code 3 where it was turned back', false)
    .option('--plain', 'a line for each change; what a pipe gets in any case')
    .action(watch)
  named('history', 'the rollouts of an endpoint', false).option('--limit <n>', 'how many', '20').action(history)
  named('promote', 'go to the next step now, whatever is not shown yet')
    .option('--full', 'to all requests at once, without the other steps')
    .action(commands('promote'))
  named('skip', 'the present step is done; what is shown still counts').action(commands('skip'))
  named('pause', 'take no step until it is resumed; a failure still turns it back').action(commands('pause'))
  named('resume', 'go on after a pause').action(commands('resume'))
  named('abort', 'give all requests back to the version before, at once').action(commands('abort'))
  named('retry', 'the same walk again, with what was shown before')
    .option('--anew', 'forget what was shown before, as something else was mended')
    .action(commands('retry'))
  command.addHelpText(
    'after',
    '\nExamples:\n  slipway rollout plan churn --to candidate\n  slipway rollout start churn --to candidate --on-promoted alias=champion --wait\n  slipway rollout abort churn --reason "support has calls"',
  )
}

async function plan(name: string, options: StartOptions): Promise<void> {
  const client = await clientOf(options)
  const planned = await client.ask<RolloutPlan>(`/endpoints/${part(name)}/rollout-plan`, { method: 'POST', body: await bodyOf(options) })
  show(planned, planView, options, planText(planned))
}

async function start(name: string, options: StartOptions): Promise<void> {
  const client = await clientOf(options)
  const path = `/endpoints/${part(name)}/rollouts`
  const started = await change<RolloutAnswer>(options, client, { method: 'POST', path, body: await bodyOf(options) })
  if (started === undefined) return
  if (options.wait === true) return await watchToEnd(client, name, { ...options, plain: false, number: started.number })
  show(started, rolloutView, options, rolloutText(started))
  if (options.output === 'table') note(`\nto watch it: slipway rollout watch ${name}`)
}

/** @throws SLW_USAGE, SLW_CONFIG_INVALID */
async function bodyOf({ to, file, strategy, steps, bake, onPromoted, anew }: StartOptions): Promise<RolloutBody> {
  const written = file === undefined ? {} : await strategyIn(file)
  const rollout = {
    ...written,
    ...(strategy !== undefined && { strategy }),
    ...(steps !== undefined && { steps: steps.split(',').map((one) => percentOf(one)) }),
    ...(bake !== undefined && { bake }),
  }
  const checked = check(Rollout, rollout)
  const issues = 'issues' in checked ? checked.issues : contradictionsInRollout(checked.value)
  if ('issues' in checked || issues.length > 0) {
    const where = file === undefined ? '' : `${file}: `
    throw new SlipwayError(
      'SLW_USAGE',
      issues.map(({ path, message }) => `${where}${path.replace('spec.rollout.', '')}: ${message}`).join('; '),
      {
        issues,
      },
    )
  }
  return {
    ...(to !== undefined && { to }),
    ...(Object.keys(rollout).length > 0 && { rollout: checked.value }),
    ...(onPromoted !== undefined && { onPromoted: { alias: aliasIn(onPromoted) } }),
    ...(anew === true && { anew }),
  }
}

async function strategyIn(file: string): Promise<object> {
  try {
    const written = parse(await readFile(file, 'utf8')) as { rollout?: object; spec?: { rollout?: object } } | null
    // A strategy, the lines of a guide, or the whole document of an endpoint.
    return written?.rollout ?? written?.spec?.rollout ?? written ?? {}
  } catch (error) {
    throw new SlipwayError('SLW_CONFIG_INVALID', `${file}: ${messageOf(error)}`, { cause: error })
  }
}

function percentOf(text: string): number {
  const percent = Number(text.replace(/\s*%\s*$/, ''))
  if (percent > 0 && percent < 100) return percent
  throw new SlipwayError('SLW_USAGE', `--steps: "${text}" is no percent between 0 and 100; expected such as 5,25,50`)
}

function aliasIn(text: string): string {
  const [, alias] = /^alias=([^/@=]+)$/.exec(text) ?? []
  if (alias !== undefined) return alias
  throw new SlipwayError('SLW_USAGE', `--on-promoted ${text}: expected alias=NAME, such as alias=champion`)
}

function shown(textOf: (rollout: RolloutAnswer) => string) {
  return async (name: string, options: RegistryOptions & { number?: string }): Promise<void> => {
    const client = await clientOf(options)
    const rollout = await client.ask<RolloutAnswer>(`/endpoints/${part(name)}/rollouts/${part(options.number ?? 'latest')}`)
    show(rollout, rolloutView, options, textOf(rollout))
  }
}

async function watch(name: string, options: RegistryOptions & { plain?: boolean }): Promise<void> {
  await watchToEnd(await clientOf(options), name, options)
}

async function watchToEnd(
  client: RegistryClient,
  name: string,
  options: { readonly plain?: boolean; readonly number?: number; readonly output: string },
): Promise<void> {
  const plain = options.plain === true || options.output !== 'table' || !process.stdout.isTTY
  const ended = await watchRollout(client, name, { plain, number: options.number })
  if (ended.state !== 'promoted') process.exitCode = 3
}

async function history(name: string, options: RegistryOptions & { limit: string }): Promise<void> {
  const client = await clientOf(options)
  const { items, total } = await client.ask<{ items: RolloutAnswer[]; total: number }>(`/endpoints/${part(name)}/rollouts`, {
    query: { limit: options.limit },
  })
  showList(items, rolloutView, options, total)
}

function commands(command: RolloutCommand['command']) {
  return async (name: string, options: RegistryOptions & { full?: boolean; anew?: boolean }): Promise<void> => {
    const client = await clientOf(options)
    const body: RolloutCommand = {
      command,
      ...(options.full === true && { full: true }),
      ...(options.anew === true && { anew: true }),
    }
    const path = `/endpoints/${part(name)}/rollouts/latest/commands`
    const after = await change<RolloutAnswer>(options, client, { method: 'POST', path, body })
    if (after === undefined) return
    // With its transitions, so that the reason is told too.
    const rollout = await client.ask<RolloutAnswer>(`/endpoints/${part(name)}/rollouts/${after.number}`)
    show(rollout, rolloutView, options, rolloutText(rollout))
  }
}
