/* One sleeping and waking execution, two workers in turn, a client that sends messages: no wake-up is lost.
 *
 * What is modelled.  An owner reads its inbox now and then, and gives the execution back when it has nothing left to
 * do.  Giving back is one transaction that names the number of messages the owner has seen; if another came in
 * between, it is refused and the owner goes on.  A message makes an execution that nobody owns due.
 *
 * Each safeguard is a macro that takes it away, as in saga.pml.  Names in [brackets] are rows in docs/model.md.
 */
#ifndef MESSAGES
#define MESSAGES 3
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#define NOBODY 0

byte inbox = 0;         /* messages that wait */
byte inbox_seq = 0;     /* messages ever put in */
byte taken = 0;         /* messages whose event stands in the journal */
byte owner = NOBODY, incarnations = 0, crashes = 0;
bit due = 0;            /* wake_at has come */

proctype Client() {
    byte sent = 0;
    do
    :: sent < MESSAGES -> atomic {      /* [send] the message and the wake-up, one transaction */
        inbox++; inbox_seq++; sent++;
        printf("message %d\n", sent);
        if
#ifndef NO_WAKE
        :: owner == NOBODY -> due = 1
#endif
        :: else -> skip
        fi }
    :: else -> break
    od
}

proctype Worker() {
    byte me, seen, found;
asleep:
end:
    atomic { owner == NOBODY && due ->  /* [claim] */
        incarnations++; me = incarnations; owner = me; due = 0;
        found = inbox; seen = inbox_seq;
        printf("worker %d claims it with %d messages\n", me, found) }
awake:
    if
    :: atomic { crashes < CRASHES ->
        crashes++; printf("worker %d dies\n", me);
        owner = NOBODY;                 /* [bury] by whoever registers next */
#ifndef NO_BURY
        due = 1;
#endif
        found = 0; seen = 0; goto asleep }
    :: found > 0 ->
        atomic {                        /* [consume] the row with the events, and their messages, one transaction */
            inbox = inbox - found; taken = taken + found; found = 0;
            printf("worker %d has taken %d\n", me, taken) }
        goto awake
    :: atomic { found == 0 && inbox_seq != seen -> found = inbox; seen = inbox_seq };      /* [news] */
        goto awake
    :: found == 0 ->
        atomic {                        /* [release] */
            if
#ifndef NO_INBOX_SEQ
            :: inbox_seq != seen ->     /* refused: read the news instead */
                found = inbox; seen = inbox_seq; goto awake
#endif
            :: else -> owner = NOBODY; printf("worker %d gives it back\n", me); me = 0; seen = 0
            fi }
        goto asleep
    fi
}

/* Nothing waits for an execution that nobody owns and nobody will claim. */
proctype Audit() {
    atomic { owner == NOBODY && !due -> assert(inbox == 0) }
}

init { atomic { due = 1; run Client(); run Worker(); run Worker(); run Audit() } }

/* Whatever was sent is taken in the end. */
ltl heard { <> (taken == MESSAGES) }
