/**
 * Imported before each file of tests: one whose tests are over, but which something keeps alive, ends and says what that was. The limit of
 * the test runner is one of single tests, and a file that hangs would hold up all others until whoever runs them gives up.
 */
const LIMIT_MS = 15 * 60_000

setTimeout(() => {
  process.stderr.write(
    `${process.argv[1]} still runs after ${LIMIT_MS / 60_000} min, held by ${process.getActiveResourcesInfo().join(', ')}\n`,
  )
  process.exit(1)
}, LIMIT_MS).unref()
