// Runs statements on the ClickHouse engine of the npm package chdb, which must be
// installed in the folder that is the first argument. The second is the folder of the
// database. Reads a JSON array of statements and writes one of {output} or {error}.
const { createRequire } = require('module');
const { Session } = createRequire(process.argv[2] + '/')('chdb');
const statements = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const session = new Session(process.argv[3]);
process.stdout.write(JSON.stringify(statements.map((statement) => {
  try {
    return { output: String(session.query(statement, 'TabSeparated')) };
  } catch (e) {
    return { error: String(e) };
  }
})));
