/** Lines of the shell blocks of a page. What npm and Python do has tests of its own. */
export function commands(markdown: string): string[] {
  return [...markdown.matchAll(/^```sh\n([\s\S]*?)^```/gm)]
    .flatMap((block) => block[1]?.split('\n') ?? [])
    .map((line) => line.replace(/\s+#.*$/, '').trim())
    .filter(
      (line) =>
        /^(bin\/)?slipway |^curl |^openssl |^printf |^scripts\/node (?!scripts\/python-env|bench)|^[A-Z_]+=\S+ .*slipway /.test(line) &&
        !/\$\((?!openssl )/.test(line),
    )
}
