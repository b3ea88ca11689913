/** Cli holds the commands, by noun: each parses its arguments, makes the calls, and prints the results. */
import { Command, CommanderError } from 'commander'
import { slipwayVersion } from '../core/version.ts'
import { COMMANDS } from './commands.ts'
import { reportError } from './output.ts'

/**
 * The command line. Only the command that was named is loaded, so that `--help` does not pay for the engine.
 * @param argv without the interpreter and the script
 */
export async function main(argv: readonly string[]): Promise<void> {
  // `slipway ... | head` closes standard output: that is an end, not a fault.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
    throw error
  })
  try {
    const program = await buildProgram(argv.find((argument) => !argument.startsWith('-')))
    await program.parseAsync([...argv], { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : 2
      return
    }
    process.exitCode = reportError(error, wantsJson(argv))
  }
}

/** Whether the results are printed as JSON: errors are then JSON, too. */
function wantsJson(argv: readonly string[]): boolean {
  return argv.some((word, index) => word === '--json' || ((argv[index - 1] === '-o' || argv[index - 1] === '--output') && word === 'json'))
}

/** The tree of commands; `all` defines every one of them, for the reference. */
export async function buildProgram(named: string | undefined, all = false): Promise<Command> {
  const program = new Command('slipway')
  program
    .description('Takes a trained model from a file to monitored production.')
    .version(slipwayVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .addHelpText(
      'after',
      '\nStart here:\n  slipway demo                     see a model answer\n  slipway serve model.onnx         serve a model on http://127.0.0.1:8470\n  slipway predict model.onnx       answer rows from a file or standard input\n',
    )
    .showSuggestionAfterError()
    .exitOverride()
    .configureHelp({ sortSubcommands: false })
  for (const [name, { summary, load }] of Object.entries(COMMANDS)) {
    const command = program.command(name).description(summary).exitOverride().helpOption('-h, --help', 'show help')
    if (all || name === named || named === 'help') (await load()).define(command)
  }
  return program
}
