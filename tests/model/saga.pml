/* One saga of N steps, owned in turn by two workers that crash, pause past their lease and lose acknowledgements,
 * over a store that appends rows under a fence, and participants with a barrier behind a network that loses replies
 * and delivers requests late.
 *
 * What is modelled.  A row of the journal holds the outcome of one action and the command of the next, so the
 * journal is its fold: `phase`, the step `k` whose command is open, and how many compensations are still `owed`
 * (steps 0 to owed-1; steps run one after the other).  A worker decides from its own copy, appends a row, and only
 * then carries out what the row commands.  Whatever a worker or a request may do too late, it may do here at any
 * later moment: a worker that lost its lease goes on dispatching, a delayed request arrives after its compensation.
 *
 * What is not: payloads, saga code and its replay, parallel actions (the interval order of backward.py has a
 * property test of its own), nested sagas (children are actions whose participant is another such model).
 *
 * Every safeguard is a macro that takes it away.  tests/model/test_model.py runs the model whole, which must pass,
 * and once without each, which must fail.  Names in [brackets] are rows of the table in docs/model.md.
 */
#ifndef N
#define N 2             /* steps */
#endif
#ifndef PIVOT
#define PIVOT N         /* from this step on nothing is undone; N: there is no pivot */
#endif
#ifndef PAUSES
#define PAUSES 1        /* leases that run out though their worker lives */
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef LOSSES
#define LOSSES 1        /* replies lost, requests delayed, acknowledgements of a commit lost */
#endif

#define FORWARD     0
#define BACKWARD    1
#define COMPLETED   2
#define COMPENSATED 3

#define NONE     0      /* states of the barrier's row, as in participants/barrier/verdict.py */
#define DONE     1
#define REJECTED 2
#define NULLED   3      /* its compensation came first */
#define UNDONE   4

#define NO_REPLY 0
#define OK       1
#define NO       2

/* ---------------------------------------------------------------- the store */

byte phase = FORWARD, k = 0, owed = 0, head = 1;    /* the journal; its first row commanded step 0 */
byte incarnations = 0, retired = 0;                 /* incarnations up to `retired` are retired */
byte owner = 0;
bit leased = 0, cancelled = 0;
byte pauses = 0, crashes = 0, losses = 0, workers_gone = 0, networks_gone = 0;

/* ---------------------------------------------------------------- the participants */

byte row[N];            /* the barrier's row of each step */
byte effects[N];        /* how often the action took effect */
byte undos[N];          /* how often the compensation took effect */
bit late[N], late_undo[N];      /* a request that is still under way */
bit pivoted = 0;        /* the row from which nothing is undone is durable */

/* [do] Whoever comes first executes; a duplicate gets the stored answer; what is undone is not done any more. */
inline take_action(i, said) {
    if
#ifndef NO_KEY
    :: row[i] == DONE -> said = OK
#endif
#ifndef NO_BARRIER
    :: row[i] == NULLED || row[i] == UNDONE -> said = NO_REPLY      /* hanging: never answered as success */
#else
    :: row[i] == UNDONE -> said = OK                                /* only its own key is remembered */
#endif
#ifdef REMEMBERS_REJECTIONS
    :: row[i] == REJECTED -> said = NO
#endif
    :: else ->
        if
        :: effects[i]++; row[i] = DONE; said = OK;
           printf("step %d takes effect\n", i)
        :: (i < PIVOT) -> row[i] = REJECTED; said = NO;
           printf("step %d is rejected\n", i)
        fi
    fi
}

/* [undo] A compensation without its action leaves a row that the action will meet. */
inline take_compensation(i) {
    if
#ifndef NO_UNDO_KEY
    :: row[i] == UNDONE -> skip
#else
    :: row[i] == UNDONE -> undos[i]++; printf("step %d is undone again\n", i)
#endif
    :: row[i] == DONE ->
        undos[i]++; row[i] = UNDONE;
        printf("step %d is undone\n", i);
        assert(!pivoted);                                           /* promise 10 */
        later = i + 1;
        do
        :: later < N -> assert(row[later] != DONE); later++         /* promise 6: what came later is undone before */
        :: else -> break
        od;
        later = 0
    :: else ->
#ifndef NO_BARRIER
        row[i] = NULLED;
#endif
        printf("step %d: nothing to undo\n", i)
    fi
}

/* ---------------------------------------------------------------- a worker's commit */

/* [append] One transaction: the fence, the position, the row.  Its acknowledgement may be lost. */
inline append(new_phase, new_k, new_owed) {
    atomic {
        if
#ifndef NO_FENCE
        :: incarnation <= retired ->
            verdict = NO; printf("worker %d is fenced\n", incarnation)
#endif
#ifndef NO_POSITION
        :: my_head != head ->
            verdict = NO; printf("worker %d: the position is taken\n", incarnation)
#endif
        :: else ->
            if
            :: (losses < LOSSES) ->
                losses++; verdict = NO_REPLY; printf("worker %d: the commit failed, perhaps\n", incarnation)
            :: commit_row(new_phase, new_k, new_owed); verdict = OK
            :: (losses < LOSSES) ->
                commit_row(new_phase, new_k, new_owed);
                losses++; verdict = NO_REPLY; printf("worker %d: the acknowledgement is lost\n", incarnation)
            fi
        fi
    }
}

inline commit_row(new_phase, new_k, new_owed) {
#ifndef NOBODY_LOOKS
    assert(incarnation == owner);                                   /* promise 15: one owner */
    assert(phase == my_phase && k == my_k && owed == my_owed);      /* decided from what the journal holds */
    assert(phase < COMPLETED);                                      /* nothing after the end */
#endif
    phase = new_phase; k = new_k; owed = new_owed; head++;
    if
    :: phase == FORWARD && k >= PIVOT -> pivoted = 1
    :: else -> skip
    fi;
    printf("worker %d: row %d, phase %d, step %d, owed %d\n", incarnation, head, phase, k, owed)
}

/* [register] [claim] Retire whoever was there, begin an incarnation, read what is durable. */
inline take_over() {
    atomic {
        (!leased || phase >= COMPLETED);
        if
        :: phase >= COMPLETED -> goto end_of_work
        :: else -> skip
        fi;
#ifdef NO_BURY
        (owner == 0);                   /* what the dead one owned is nobody's business */
#endif
        leased = 1;
#ifndef NO_RETIRE
        retired = incarnations;
#endif
        incarnations++;
        incarnation = incarnations;
#ifndef NO_LOST_TAINT
        tainted = (owner != 0);         /* [lost] what was open may have been dispatched */
#endif
        owner = incarnation;
        my_phase = phase; my_k = k; my_owed = owed; my_head = head;
        printf("worker %d takes over\n", incarnation)
    }
}

/* ---------------------------------------------------------------- a worker */

/* [dispatch] The request arrives and is answered; or its reply is lost; or it is still under way. */
inline dispatch(i) {
    atomic {
        printf("worker %d dispatches step %d\n", incarnation, i);
        if
        :: take_action(i, reply)
        :: (losses < LOSSES) -> losses++; take_action(i, reply); reply = NO_REPLY; printf("its reply is lost\n")
        :: (losses < LOSSES && !late[i]) -> losses++; late[i] = 1; reply = NO_REPLY; printf("it is delayed\n")
        fi
    }
}

inline dispatch_undo(i) {
    atomic {
        printf("worker %d dispatches the compensation of step %d\n", incarnation, i);
        if
        :: take_compensation(i); reply = OK
        :: (losses < LOSSES) -> losses++; take_compensation(i); reply = NO_REPLY; printf("its reply is lost\n")
        :: (losses < LOSSES && !late_undo[i]) -> losses++; late_undo[i] = 1; reply = NO_REPLY; printf("it is delayed\n")
        fi
    }
}

#ifdef FORWARD_ORDER
#define NEXT_TO_UNDO (owed_at_first - my_owed)
#else
#define NEXT_TO_UNDO (my_owed - 1)
#endif

/* Append, and go on from the new row; what it commands is carried out by the next turn. */
inline my_next(new_phase, new_k, new_owed) {
    append(new_phase, new_k, new_owed);
    if
    :: verdict == OK ->
        my_phase = new_phase; my_k = new_k; my_owed = new_owed; my_head++;
        tainted = 0; verdict = 0; reply = 0
#ifdef BLIND_APPEND
    :: verdict == NO_REPLY -> my_head = head; goto at_work          /* decide once more, at whatever row it is now */
    :: verdict == NO -> goto doubtful
#else
    :: else -> goto doubtful
#endif
    fi
}

proctype Worker() {
    byte incarnation = 0, my_phase, my_k, my_owed, my_head, reply, verdict, next, later;
    byte owed_at_first = 0;
    bit tainted = 0;

unowned:
    take_over();

at_work:
    if
    :: atomic { (crashes < CRASHES) ->          /* memory is gone, and the operating system gives the lock back */
        crashes++;
        printf("worker %d crashes\n", incarnation);
        goto died }
    :: my_phase == FORWARD ->
        dispatch(my_k);
        if
        :: reply == OK ->
#ifdef EARLY_EFFECT
            if
            :: my_k + 1 < N -> dispatch(my_k + 1)
            :: else -> skip
            fi;
#endif
            next = my_k + 1;
            if
            :: next < N -> my_next(FORWARD, next, 0)
            :: else -> my_next(COMPLETED, next, 0)
            fi
        :: reply == NO ->
            /* [outcome] rejected, if no attempt can still take effect; else unknown, and undone as if it had */
#if defined(NO_TAINT) || defined(REMEMBERS_REJECTIONS)
            next = my_k;
#else
            next = (tainted -> my_k + 1 : my_k);
#endif
#ifdef EARLY_UNDO
            if
            :: next > 0 -> dispatch_undo(next - 1)
            :: else -> skip
            fi;
#endif
            my_next(BACKWARD, my_k, next)
        :: reply == NO_REPLY ->
            tainted = 1;
            if
            :: goto at_work                     /* [retry] with the same key */
            :: my_k < PIVOT ->
#ifdef UNKNOWN_IS_REJECTED
                my_next(BACKWARD, my_k, my_k)
#else
                next = my_k + 1;                /* [settle] */
                my_next(BACKWARD, my_k, next)
#endif
            fi
        fi
#ifndef CANCEL_AFTER_PIVOT
    :: my_phase == FORWARD && cancelled && my_k < PIVOT ->          /* [cancel] [pivot] */
#else
    :: my_phase == FORWARD && cancelled ->
#endif
        next = my_k + 1;                        /* the open step may have been dispatched */
        my_next(BACKWARD, my_k, next)
    :: my_phase == BACKWARD && my_owed > 0 ->   /* [backward] the last first */
#ifdef FORWARD_ORDER
        if
        :: owed_at_first < my_owed -> owed_at_first = my_owed
        :: else -> skip
        fi;
#endif
        dispatch_undo(NEXT_TO_UNDO);
        if
        :: reply == OK -> next = my_owed - 1; my_next(BACKWARD, my_k, next)
        :: reply == NO_REPLY -> goto at_work
        fi
#ifdef UNSHIELDED
    :: my_phase == BACKWARD && my_owed > 0 && cancelled ->          /* the cancel interrupts it */
        my_next(COMPENSATED, my_k, 0)
#endif
    :: my_phase == BACKWARD && my_owed == 0 ->
        my_next(COMPENSATED, my_k, 0)
    fi;
    if
    :: my_phase >= COMPLETED -> goto end_of_work
    :: else -> goto at_work
    fi;

doubtful:       /* [doubt] fenced, or the fate of a commit is unknown: drop all, retire yourself, read again */
    atomic {
        if
        :: incarnation > retired && owner == incarnation -> retired = incarnation
        :: else -> skip
        fi
    }
died:
    atomic {
        if
        :: owner == incarnation -> leased = 0
        :: else -> skip
        fi;
        my_phase = 0; my_k = 0; my_owed = 0; my_head = 0; reply = 0; verdict = 0; next = 0; tainted = 0;
        owed_at_first = 0;
        goto unowned
    }

end_of_work:
    atomic { workers_gone++; incarnation = 0; my_phase = 0; my_k = 0; my_owed = 0; my_head = 0 }
}

/* ---------------------------------------------------------------- the world */

proctype Network(byte i) {      /* what is under way arrives, at some time */
    byte said, later;
    do
    :: atomic { late[i] ->
        late[i] = 0; printf("the delayed request of step %d arrives\n", i); take_action(i, said); said = 0 }
    :: atomic { late_undo[i] ->
        late_undo[i] = 0; printf("the delayed compensation of step %d arrives\n", i); take_compensation(i) }
    :: atomic { workers_gone == 2 && !late[i] && !late_undo[i] -> break }
    od;
    networks_gone++
}

proctype Pauses() {     /* [lease] it runs out though its worker lives: a pause longer than it */
    do
    :: atomic { leased && pauses < PAUSES && phase < COMPLETED ->
        leased = 0; pauses++; printf("the lease of worker %d runs out\n", owner) }
    :: atomic { phase >= COMPLETED || pauses == PAUSES -> break }
    od
}

proctype Client() {
    atomic {
        if
        :: cancelled = 1; printf("cancel\n")
        :: skip
        fi
    }
}

proctype Audit() {      /* from the participants' books, once all is quiet */
    byte i = 0;
    (networks_gone == N);
    assert(phase == COMPLETED || phase == COMPENSATED);             /* promise 16 */
    do
    :: i < N ->
        assert(effects[i] <= 1 && undos[i] <= 1);                   /* promise 5 */
        assert(phase != COMPLETED || (effects[i] == 1 && undos[i] == 0));
        assert(phase != COMPENSATED || effects[i] == undos[i]);     /* promises 1, 2, 9 */
        i++
    :: else -> break
    od
}

init {
    byte i = 0;
    atomic {
        run Worker(); run Worker(); run Pauses(); run Client(); run Audit();
        do
        :: i < N -> run Network(i); i++
        :: else -> break
        od
    }
}

ltl ends { <> (phase >= COMPLETED) }                                /* promise 16 */
