// Who is signed in, and what that role may do.

const RANK = { viewer: 0, listener: 1, operator: 2, admin: 3 };

let current = null;

export function whoIs() {
  return current;
}

export function become(person) {
  current = person;
}

/** Claims that the role is this one or one that includes it. */
export function may(role) {
  return current !== null && (RANK[current.role] ?? -1) >= RANK[role];
}
