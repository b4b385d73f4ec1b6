/**
 * The user's own JWT, as your identity provider's SDK hands it out: `getAccessTokenSilently()` of Auth0,
 * `user.getIdToken()` of Firebase, `session.getToken()` of Clerk. Ask for it each time: it may have been renewed.
 *
 * This example takes it from the address, behind `#jwt=`, which browsers keep to themselves.
 */
export async function getJwt(): Promise<string> {
  const jwt = new URLSearchParams(location.hash.slice(1)).get("jwt");
  if (!jwt) throw new Error("Nobody is signed in: open this page with #jwt=… behind its address.");
  return jwt;
}
