// Before the page's own script: takes down everything that goes wrong.
window.wrongs = [];
addEventListener("error", event => window.wrongs.push(event.message));
addEventListener("unhandledrejection", event => window.wrongs.push(String(event.reason)));
addEventListener("securitypolicyviolation", event => window.wrongs.push(`loads ${event.blockedURI}`));
for (const level of ["error", "warn"]) {
  const said = console[level];
  console[level] = (...words) => { window.wrongs.push(words.join(" ")); said(...words); };
}
