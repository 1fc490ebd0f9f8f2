"""Every setting of a run, with its unit and effect.

Frozen; unknown keys are refused. Precedence: defaults here < TOML files, left to right < `--set section.key=value`.
The resolved config is saved in every artefact (`load.save`). Settings of a process (addresses, tokens) come from the
environment and are not here.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Layout = Literal["world", "movielens", "retail", "sequences", "movietweetings", "table"]
# Ways to build the student for ONNX Runtime, see `train.builds`.
Build = Literal["fp32", "int8-weights", "int8-blocks", "int8-channel", "int8-tensor", "int8-static", "int4"]


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _even_heads(width_name: str, width: int, heads_name: str, num_heads: int) -> None:
    """Rotary positions turn pairs of a head's values, so each head has an even number of them."""
    if width % (2 * num_heads):
        raise ValueError(f"{width_name} = {width} cannot be dealt out evenly, in pairs, to {heads_name} = {num_heads}")


class WorldConfig(Settings):
    """The embedded simulator; `represent` and `reason` never read this section."""

    num_users: PositiveInt = 3000
    num_items: PositiveInt = 800
    num_days: PositiveInt = 90
    mean_intents: float = 28.0  # intended plays a user, on average (the rest of the log is dirt)
    noise: float = 1.0  # dirt per intended play, as a multiple of the default mix
    shift: Literal["none", "catalogue", "taste", "logging", "season"] = "none"
    shift_days: PositiveInt = 14  # days appended by a shift
    seed: int = Field(7, ge=0)


class DataConfig(Settings):
    layout: Layout = "world"  # "world" generates; the others read `path`
    path: str | None = None  # folder or file; local, s3://, gs:// or https://
    mapping: str | None = None  # TOML that names the columns, for layout = "table"
    targets: tuple[str, ...] = ("play", "rating", "purchase")  # event types by which a user takes an item
    min_value: float | None = None  # a target event needs at least this value (minutes, stars); None: any
    target: Literal["last", "last_discovery"] = "last"  # which take of a user is the test: any, or a first-time one
    max_quarantine: Share = 0.05  # a larger share of bad rows fails the command
    max_users: PositiveInt | None = None  # keep a seeded sample of this many users; None: all

    @model_validator(mode="after")
    def _source_is_complete(self) -> Self:
        if self.layout != "world" and self.path is None:
            raise ValueError(f"data.layout = '{self.layout}' reads a log: set data.path to its folder or file")
        if self.layout == "table" and self.mapping is None:
            raise ValueError("data.layout = 'table' needs data.mapping, a TOML that names the columns")
        return self


class EvaluateConfig(Settings):
    num_candidates: int = Field(10, ge=2)  # choose 1 of N
    negatives: tuple[Literal["popularity", "uniform", "retrieved"], ...] = ("popularity",)
    max_users: PositiveInt | None = 2000  # evaluated users a split, a seeded sample; None: all
    num_bootstrap: PositiveInt = 1000  # resamples of a paired interval
    cold_targets: PositiveInt = 5  # at most this many earlier takes: a cold user
    tail_share: Share = 0.8  # items outside the most popular ones that carry this share of takes: the long tail


class SequentialConfig(Settings):
    """The causal transformer over item tokens; its body and item embeddings start the Reasoner."""

    num_layers: PositiveInt = 2
    width: PositiveInt = 128
    num_heads: PositiveInt = 4
    max_items: PositiveInt = 50  # length of the item sequence
    batch_size: PositiveInt = 64
    num_steps: PositiveInt = 400
    learning_rate: float = 1e-3
    dropout: Share = 0.3
    num_negatives: int = 512  # shared sampled negatives a batch; at or above the catalogue size: full softmax

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        _even_heads("sequential.width", self.width, "sequential.num_heads", self.num_heads)
        return self


class RetrieveConfig(Settings):
    """The fused retriever that proposes what a second stage ranks (`train.retrieval`)."""

    method: Literal["learned", "reciprocal"] = "learned"  # how parts are weighed; reciprocal: ranks, all parts alike
    num_candidates: PositiveInt = 100  # best items of each part among which the weights are fitted
    num_ranked: PositiveInt = 20  # of what is retrieved, that a model puts in order; longer answers go on unranked
    max_matrix_items: PositiveInt = 20_000  # above this many items no part with an items-by-items matrix is fitted


class TextConfig(Settings):
    """What the language models read."""

    vocab_size: PositiveInt = 1024  # byte-level BPE pieces, without the item tokens
    max_events: int = Field(32, ge=1, le=100)  # newest raw events a Verbalizer is shown
    history_tokens: PositiveInt = 96  # budget of the text that the Reasoner reads, equal for every Verbalizer


class ReasonerConfig(Settings):
    # What is read: texts with item tokens; texts with titles in their place; the item tokens of texts alone. A title
    # is several tokens, so "text" wants a larger text.history_tokens.
    inputs: Literal["both", "text", "tokens"] = "both"
    head: Literal["pointer", "letters"] = "pointer"  # letters: the next token names the candidate, at most 50
    loss: Literal["listwise", "pointwise", "grpo"] = "listwise"
    num_steps: PositiveInt = 400
    batch_size: PositiveInt = 64
    learning_rate: float = 3e-4
    dropout: Share = 0.1
    lm_weight: float = 0.1  # weight of the next-token loss beside the listwise one
    tune_steps: PositiveInt = 150  # steps on the Verbalizer's own text (stage 2)
    tune_examples: PositiveInt = 4000  # texts written for that, and for distillation
    tune_rate: float = 3e-4  # learning rate of stage 2


class GrpoConfig(Settings):
    num_steps: int = Field(24, ge=0)  # 0: none
    prompts_per_step: PositiveInt = 8
    group_size: int = Field(8, ge=2)  # samples a prompt
    learning_rate: float = 3e-4
    beta: float = Field(0.001, ge=0.0)  # weight of the KL to the writer it starts from; 0: not measured, not bounded
    reward: Literal["accuracy", "probability", "gain"] = "probability"  # how the Reasoner's choice is paid for
    accuracy_weight: Share = 0.9  # of that choice; the rest pays for length
    valid_weight: Share = 0.1  # paid on top for references that stand for something
    max_kl: float = Field(2.0, gt=0.0)  # nats a token from that writer beyond which training stops


class ActionConfig(Settings):
    """Training of the Verbalizer that decides event by event (`train.action`)."""

    start_steps: PositiveInt = 100  # supervised, at the rewriting Verbalizer's learning rate
    start_batch_size: PositiveInt = 16
    num_steps: PositiveInt = 200  # of GRPO
    prompts_per_step: PositiveInt = 16
    group_size: int = Field(8, ge=2)  # samples a prompt
    learning_rate: float = 3e-4
    entropy_weight: float = Field(0.01, ge=0.0)  # weight of the policy's entropy (nats an event): keeps it exploring


class VerbalizerConfig(Settings):
    num_layers: PositiveInt = 3
    num_heads: PositiveInt = 4
    sft_steps: PositiveInt = 400
    sft_batch_size: PositiveInt = 32  # for whole logs; the short logs of the first steps come in larger batches
    best_steps: int = Field(150, ge=0)  # supervised steps on the style that the Reasoner reads best, before GRPO
    learning_rate: float = 3e-3
    matrix_rate: float = 0.02  # of Muon, for the hidden matrices
    max_new_tokens: PositiveInt = 64
    grpo: GrpoConfig = GrpoConfig()
    action: ActionConfig = ActionConfig()


class LlmConfig(Settings):
    """Pretrained language models in place of those that the demo profile trains from nothing (docs/production.md)."""

    base: str | None = None  # folder or id of a Hugging Face causal LM, the Verbalizer's; None: demo profile
    reasoner_base: str | None = None  # the Reasoner's; None: the same as `base`
    lora_rank: PositiveInt = 16
    lora_alpha: PositiveInt = 32
    max_prompt_tokens: PositiveInt = 4096  # of the Verbalizer; the oldest events that do not fit are left out
    micro_batch: PositiveInt = 4  # samples that pass through a device at a time in training: bounds memory
    vllm: Literal["off", "colocate", "server"] = "off"  # who samples in GRPO; off: the model's own `generate`
    vllm_url: str = "http://127.0.0.1:8000"  # for vllm = "server"
    vllm_memory: Share = 0.3  # share of the device's memory for vllm = "colocate"


class StudentConfig(Settings):
    num_layers: PositiveInt = 1
    width: PositiveInt = 64
    num_heads: PositiveInt = 2
    num_steps: PositiveInt = 300
    batch_size: PositiveInt = 128
    learning_rate: float = 2e-3
    temperature: float = 1.0  # of the teacher's distribution
    hard_weight: Share = 0.3  # weight of the true item beside the teacher
    # Order of preference: the first build that the gate lets through is served. FP32, last, is the original itself.
    builds: tuple[Build, ...] = Field(
        ("int8-weights", "int8-blocks", "int8-channel", "int8-static", "int8-tensor", "int4", "fp32"), min_length=1
    )
    min_agreement: Share = 0.99  # share of first choices equal to the original's under which a build is refused
    max_ndcg_loss: float = Field(0.005, ge=0.0)  # fall in NDCG@10 that the interval of a build may not reach

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        _even_heads("student.width", self.width, "student.num_heads", self.num_heads)
        return self


class FeaturesConfig(Settings):
    # Where the rows that serving reads are kept; `redis` is the server that RACONTEUR_REDIS_URL names.
    online: Literal["sqlite", "redis"] = "sqlite"


class BackendConfig(Settings):
    """Where a ranker answers. Addresses may also come from the environment, see serving/README.md."""

    # `local`: in the recommender's process, by ONNX Runtime or transformers, whichever the folder holds. The others ask
    # a server: a KServe model server (V2, REST), a Triton server (V2, gRPC), or any that speaks the OpenAI API.
    kind: Literal["local", "kserve", "triton", "openai"] = "kserve"
    url: str | None = None  # None: the server of this machine's stack
    model: str | None = None  # name on the server; None: student or reasoner


class WriterConfig(Settings):
    """Who writes narratives again. Addresses may also come from the environment, as those of rankers."""

    # `kserve`: our model server, which holds the champion's Verbalizer beside its Reasoner. `openai`: a server of the
    # OpenAI API with that Verbalizer as `raconteur export --to vllm` writes it.
    kind: Literal["kserve", "openai"] = "kserve"
    url: str | None = None  # None: the Reasoner's server if it is of this kind, else nobody writes
    model: str = "verbalizer"  # name on the server


class ServeConfig(Settings):
    host: str = "127.0.0.1"
    public: bool = False  # must be set to listen on another address than loopback; then keys are required
    port: int = 8800  # recommender, REST
    grpc_port: int = 8810  # recommender, gRPC
    student_port: int = 8801  # REST; gRPC listens 10 above, as for the Reasoner
    reasoner_port: int = 8802
    evidently_port: int = 8804
    student: BackendConfig = BackendConfig(kind="local")
    reasoner: BackendConfig = BackendConfig(kind="kserve")
    verbalizer: WriterConfig = WriterConfig()
    max_k: PositiveInt = 100
    retrieval_process: bool = True  # a second process retrieves while several requests are in work; of use with 2 cores
    reasoner_per_minute: float | None = Field(None, gt=0.0)  # calls of all requests together; None: as many as routed
    timeout_ms: float = 1500.0  # of a call to a model server, also where the request has a larger budget
    features_timeout_ms: float = 300.0  # of a read of the online store; then the last known state stands in
    max_waiting: PositiveInt = 64  # requests in the recommender; one more is answered 429 with Retry-After
    breaker_failures: PositiveInt = 5  # failures in a row after which a part is not asked ...
    breaker_seconds: float = 5.0  # ... for this long; then one request tries it
    cache_entries: int = Field(10_000, ge=0)  # answers, Reasoner scores, encodings: of each at most; 0: none
    cache_seconds: float = 60.0  # an entry is at most this old
    refresh_after: int = Field(4, ge=0)  # events newer than a narrative that have it written again; 0: never
    log_rows: PositiveInt = 2048  # predictions a Parquet file
    log_days: float | None = Field(None, gt=0.0, le=36_500.0)  # older predictions are removed; None: none is
    log_seconds: float = 1.0  # a prediction waits at most this long before it is on disk


class RouteConfig(Settings):
    """The calibrated router, and what decides without a calibration."""

    mode: Literal["budget", "quality", "rules"] = "budget"  # what sets the threshold: cost, a promise, or the margin
    lists: Literal["popularity", "served"] = "served"  # candidate lists that it is calibrated and judged on
    budget_share: Share = 0.3  # at most this share of requests asks the Reasoner (mode budget)
    budget_ms: float | None = Field(None, gt=0.0)  # the same as mean ms a request, student included; None: the share
    keep_gain: Share = 0.95  # share of the Reasoner's gain in NDCG that mode quality keeps
    alpha: float = Field(0.1, gt=0.0, lt=1.0)  # of the student's requests at most this share is ranked worse ...
    delta: float = Field(0.1, gt=0.0, lt=1.0)  # ... with confidence 1 - delta (mode quality) ...
    regret: float = Field(0.1, ge=0.0)  # ... by more than this in NDCG@10
    tolerance: float = Field(0.005, ge=0.0)  # loss in NDCG@10 that still counts as equal quality, for the saving
    explore: float = Field(0.01, ge=0.0, le=0.5)  # share of requests that is sent the other way, for the logs' sake
    min_margin: float = 0.01  # without a calibration: the student's margin (0..1) under which the Reasoner is asked
    max_load: Share = 0.9  # load of the Reasoner above which nobody asks it
    reasoner_p99_ms: float | None = Field(None, gt=0.0)  # None: costs.json says it, or three times its mean


class MonitorConfig(Settings):
    window_rows: PositiveInt = 2000  # rows of reference and current; fixed, since Evidently's tests depend on it
    drift_share: Share = 0.3  # share of drifted columns that counts as drift
    max_recall_drop: float = 0.05  # label-lagged fall of served Recall@1 that counts as a quality loss
    max_loss: float = (
        0.01  # a challenger is promoted if the lower end of its paired gain in Recall@1 is above minus this
    )
    min_student_share: Share = 0.5  # of the Reasoner's NDCG@10 above chance; no student may clearly keep less
    newest_share: Share = 0.5  # newest share of the test targets, the slice that the gate looks at


class Config(Settings):
    name: str = Field("demo", pattern=r"^[a-z0-9][a-z0-9-]*$")
    workdir: Path = Path("runs/demo")  # everything that a run writes
    seed: int = Field(0, ge=0)
    data: DataConfig = DataConfig()
    world: WorldConfig = WorldConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    text: TextConfig = TextConfig()
    sequential: SequentialConfig = SequentialConfig()
    retrieve: RetrieveConfig = RetrieveConfig()
    reasoner: ReasonerConfig = ReasonerConfig()
    verbalizer: VerbalizerConfig = VerbalizerConfig()
    llm: LlmConfig = LlmConfig()
    student: StudentConfig = StudentConfig()
    features: FeaturesConfig = FeaturesConfig()
    serve: ServeConfig = ServeConfig()
    route: RouteConfig = RouteConfig()
    monitor: MonitorConfig = MonitorConfig()

    @model_validator(mode="after")
    def _texts_fit(self) -> Self:
        if self.verbalizer.max_new_tokens > self.text.history_tokens:
            raise ValueError(
                f"verbalizer.max_new_tokens = {self.verbalizer.max_new_tokens} is more than the Reasoner reads: "
                f"lower it to text.history_tokens = {self.text.history_tokens}"
            )
        return self

    @model_validator(mode="after")
    def _heads_of_the_writer_fit(self) -> Self:
        width = self.sequential.width  # which all models of the demo profile but the student share
        _even_heads("sequential.width", width, "verbalizer.num_heads", self.verbalizer.num_heads)
        return self
