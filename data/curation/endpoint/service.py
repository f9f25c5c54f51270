"""Answers for a stream of requests: many in flight, settled in the order in which they were asked."""

import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType

from data.curation.endpoint.cache import AnswerCache
from data.curation.endpoint.chat import Answer, ChatRequest
from data.curation.endpoint.client import EndpointClient
from data.curation.endpoint.pace import Pace
from data.curation.endpoint.problems import EndpointFailedError, RequestRefusedError
from data.curation.endpoint.traffic import Traffic
from data.settings.endpoint import EndpointSettings

WINDOW = 4  # requests asked and not yet settled, per thread: a slow one in front doesn't idle the others
REFUSED_FROM_THE_START = 10
COST_CAP, FAILED = "cost cap", "endpoint failed"


@dataclass(slots=True, kw_only=True)
class Ticket:
    """A place in the queue. Once settled it has an `answer`, or says why it was `refused` or `skipped`."""

    key: str = ""
    worst: float = 0.0
    future: Future[Answer] | None = None
    settled: bool = False
    answer: Answer | None = None
    refused: str = ""
    skipped: str = ""


@dataclass(slots=True, kw_only=True)
class Totals:
    """Of the settled answers, cached ones included: the same in every run."""

    answers: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: int = 0
    cost: float = 0.0


@dataclass(slots=True)
class AnswerService:
    """Asks, keeps what it paid for, and stays within the cost cap.

    Which requests the cap lets through doesn't depend on threads or cache: a request goes out when all that was asked
    before, at its known cost or at the most it can cost, leaves room for the most that this one can cost. When it
    doesn't, the service first waits for what is in flight, and only then stops. Cached answers count like new ones:
    a killed and resumed run can't spend the cap twice. Tries that broke off count as if they had been paid.
    """

    settings: EndpointSettings
    traffic: Traffic = field(default_factory=Traffic)
    totals: Totals = field(default_factory=Totals)
    stopped: str = ""  # why nothing more is asked
    failure: str = ""  # the endpoint's last failure, for the report
    _pending: deque[Ticket] = field(default_factory=deque)
    _flying: dict[str, Future[Answer]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)
    _refused: int = 0
    _failures: int = 0
    _cache: AnswerCache = field(init=False)
    _client: EndpointClient = field(init=False)
    _threads: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        pace = Pace(self.settings.requests_per_minute, self.settings.tokens_per_minute, sleep=self._stop.wait)
        self._cache = AnswerCache(self.settings.cache_uri)
        self._client = EndpointClient(self.settings, pace, self.traffic, self._stop)
        self._threads = ThreadPoolExecutor(self.settings.concurrency, thread_name_prefix="endpoint")

    def __enter__(self) -> "AnswerService":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nothing new is asked; what is in flight is waited for, since it is paid, and kept in the cache."""
        self._stop.set()
        self._threads.shutdown(cancel_futures=True)
        self._client.close()

    def ask(self, request: ChatRequest) -> Ticket:
        """A ticket for the request's answer; settled at once when nothing more may be asked."""
        worst = self._price(request.tokens(self.settings), self.settings.max_tokens)
        while len(self._pending) >= WINDOW * self.settings.concurrency:
            self._settle()
        while not self.stopped and not self._fits(worst):
            if self._pending:
                self._settle()
            else:
                self.stopped = COST_CAP
        if self.stopped:
            return Ticket(settled=True, skipped=self.stopped)
        key = request.key(self.settings)
        ticket = Ticket(key=key, worst=worst, future=self._threads.submit(self._answer, key, request))
        self._pending.append(ticket)
        return ticket

    def wait(self, ticket: Ticket) -> None:
        """Settle everything up to this ticket."""
        while not ticket.settled:
            self._settle()

    def _fits(self, worst: float) -> bool:
        cap = self.settings.max_cost
        if cap is None:
            return True
        lost = self._price(self.traffic.count("lost_prompt_tokens"), self.traffic.count("lost_completion_tokens"))
        return self.totals.cost + lost + sum(ticket.worst for ticket in self._pending) + worst <= cap

    def _price(self, prompt_tokens: int, completion_tokens: int) -> float:
        prices = self.settings.prompt_price, self.settings.completion_price
        return (prompt_tokens * prices[0] + completion_tokens * prices[1]) / 1e6

    def _settle(self) -> None:
        ticket = self._pending.popleft()
        ticket.settled = True
        assert ticket.future is not None
        try:
            ticket.answer = ticket.future.result()
        except RequestRefusedError as problem:
            ticket.refused = str(problem)
            self._count_refusal(str(problem))
        except EndpointFailedError as problem:
            ticket.skipped = FAILED
            self._count_failure(problem)
        else:
            self._failures = 0
            self._count_answer(ticket.answer)

    def _count_answer(self, answer: Answer) -> None:
        totals = self.totals
        totals.answers += 1
        totals.prompt_tokens += answer.prompt_tokens
        totals.completion_tokens += answer.completion_tokens
        totals.estimated += answer.estimated
        totals.cost += self._price(answer.prompt_tokens, answer.completion_tokens)

    def _count_refusal(self, words: str) -> None:
        """A refused request concerns one sample, unless the endpoint never did anything else."""
        self._refused += 1
        if not self.totals.answers and self._refused >= REFUSED_FROM_THE_START:
            self._count_failure(
                EndpointFailedError(
                    f"endpoint {self.settings.host} (model {self.settings.model}) refused the first "
                    f"{self._refused} requests; the last with {words}",
                    hopeless=True,
                )
            )

    def _count_failure(self, problem: EndpointFailedError) -> None:
        if self.settings.on_failure == "fail":
            raise problem
        self._failures += 1
        self.failure = str(problem)
        if problem.hopeless or self._failures >= self.settings.failures_in_a_row:
            self.stopped = FAILED

    def _answer(self, key: str, request: ChatRequest) -> Answer:
        """In a thread: from the cache, from the same request in flight, or from the endpoint."""
        mine: Future[Answer] = Future()
        with self._lock:
            first = self._flying.setdefault(key, mine)
        if first is not mine:
            self.traffic.add("shared")
            return first.result()
        try:
            answer = self._cached_or_paid(key, request)
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            mine.set_result(answer)
            return answer
        finally:
            with self._lock:
                del self._flying[key]

    def _cached_or_paid(self, key: str, request: ChatRequest) -> Answer:
        answer = self._cache.get(key)
        if answer is not None:
            self.traffic.add("cache_hits")
            return answer
        if self._stop.is_set():
            raise EndpointFailedError("stopped")
        answer = self._client.complete(request)
        self._cache.put(key, answer)
        return answer
