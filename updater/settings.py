"""How an update is made: one config for the whole package, a sentence and a unit under each field."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Trained(BaseModel):
    """Which weights an update changes.

    Example: Trained(what="band", layers=(4, 7))
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: Literal["lora", "band", "full"] = Field(
        default="lora",
        description="lora: factors beside linear layers; band: the weights of some blocks; full: every weight.",
    )
    layers: tuple[int, int] | None = Field(
        default=None,
        description="First and last block that change, from 0; None is all but the share `lowest_adapted`.",
    )
    target_modules: tuple[str, ...] | None = Field(
        default=None,
        description="Last parts of the names of layers that change, such as down_proj; None is all but queries and "
        "keys for lora, and everything in its blocks for band.",
    )
    dense_rate_ratio: float = Field(
        default=0.05, gt=0, description="Learning rate of whole weights (band, full) over that of LoRA factors."
    )

    @model_validator(mode="after")
    def _check_choice(self) -> Self:
        if self.layers is not None and not 0 <= self.layers[0] <= self.layers[1]:
            raise ValueError(f"got layers {self.layers}; needed are a first and a last block, from 0")
        if self.what == "full" and (self.layers is not None or self.target_modules is not None):
            raise ValueError("full trains every weight; layers and target_modules belong to lora and band")
        return self


class RetrySettings(BaseModel):
    """What an update tries otherwise after a refusal; which of it depends on the reason (`updater/attempts.py`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_retries: int = Field(
        default=1, ge=0, le=1, description="Retries with safer settings before a refused batch is split."
    )
    slower: float = Field(
        default=0.5, gt=0, le=1, description="Factor of the learning rate after older knowledge or anchors have moved."
    )
    much_slower: float = Field(
        default=0.1, gt=0, le=1, description="Factor of the learning rate after steps that were far too large."
    )
    longer: float = Field(default=2.0, ge=1, description="Factor of the most steps.")
    more_kept: float = Field(
        default=2.0, ge=1, description="Factor of weight and number of replayed sentences, or anchors, in a step."
    )


class WritingSettings(BaseModel):
    """What is written about an experience beside questions and near misses, and what a statement must stand.

    A model whose style has no instruction for something is not asked for it.

    Example: WritingSettings(restatements_per_experience=0)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    implications_per_experience: int = Field(
        default=4, ge=0, description="Questions about each experience whose answer follows without standing in it."
    )
    restatements_per_experience: int = Field(
        default=4, ge=0, description="Statements that say each experience in other words."
    )
    min_support_nats: float = Field(
        default=0.1,
        description="Least rise (nats a token) of a statement's log-probability when the teacher reads the experience.",
    )
    questions_per_statement: int = Field(
        default=3, ge=0, description="Questions asked about each statement, whose answers the experience must confirm."
    )
    min_agreement: float = Field(
        default=0.5, ge=0, le=1, description="Least word overlap (F1) of two answers that count as the same."
    )


class TeacherSettings(BaseModel):
    """Who teaches an update, and how much of an experience the teacher reads at once.

    Example: TeacherSettings(weights="current")
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: Literal["base", "current", "average"] = Field(
        default="base",
        description="Whose expectations, with the experience in the prompt, are taught: the frozen base model's, the "
        "version's that the update starts from, or a moving average's over the lineage's versions (docs/adr/0015).",
    )
    average_decay: float = Field(
        default=0.5, gt=0, lt=1, description="Share of the average so far that stays when a version joins it."
    )
    window_tokens: int | None = Field(
        default=None,
        ge=16,
        description="Most tokens of an experience read at once; none leaves room for two such windows and a question "
        "in what the model reads.",
    )
    window_overlap: float = Field(
        default=0.2, ge=0, lt=1, description="Share of a window that may repeat what the window before it ends with."
    )


class UpdateSettings(BaseModel):
    """Settings of one update. The defaults suit the embedded model on two cores.

    Example: UpdateSettings(num_steps=60, rank=32)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    questions_per_experience: int = Field(
        default=12, ge=4, description="Questions sampled from the model about each experience, before duplicates go."
    )
    near_misses_per_experience: int = Field(
        default=6, ge=0, description="Near-miss questions that the model is asked to write about each experience."
    )
    exchanges_per_question: int = Field(
        default=1, ge=0, description="Near misses made of each question by exchanging one word of its subject."
    )
    min_samples: int = Field(
        default=24, ge=1, description="Least questions sampled in an update, however few its experiences."
    )
    held_out_share: float = Field(
        default=0.15,
        gt=0,
        lt=1,
        description="Share of target sentences kept out of training, for early stopping and the gate.",
    )
    min_gain_nats: float = Field(
        default=0.2, ge=0, description="Least context gain (nats a token) of a question worth learning."
    )
    min_questions: int = Field(
        default=3,
        ge=1,
        description="Least questions worth learning about an experience; one with fewer counts as not understood.",
    )
    writing: WritingSettings = Field(
        default=WritingSettings(), description="Implications and restatements, and how they are checked."
    )
    kept_tokens: int = Field(
        default=32, ge=1, description="Teacher tokens kept at each position; the rest is one tail bucket."
    )
    num_anchors: int = Field(default=280, ge=1, description="Fresh unrelated sentences drawn for each update.")
    num_contradictions: int = Field(
        default=40, ge=0, description="Most questions about what is known behind a note that says otherwise."
    )
    num_replay: int = Field(
        default=1000, ge=0, description="Stored targets of earlier experiences sampled for each update."
    )
    num_fresh_near_misses: int = Field(
        default=120,
        ge=0,
        description="Replayed questions of which new near misses are made: with one word of their subject exchanged, "
        "and something else asked about it.",
    )
    num_steps: int = Field(
        default=80, ge=1, description="Most optimiser steps of an update, unless `least_passes` asks for more."
    )
    least_passes: float = Field(
        default=3.0,
        ge=0,
        description="Least times that each question about the batch is taken: a large batch gets more steps for it.",
    )
    batch_about: int = Field(default=18, ge=1, description="Target sentences a step.")
    batch_anchors: int = Field(default=6, ge=1, description="Anchors a step.")
    batch_replay: int = Field(default=14, ge=0, description="Replayed sentences a step.")
    near_miss_share: float = Field(
        default=0.45,
        ge=0,
        le=1,
        description="Share of near misses in `batch_about`: more of them mean less false recall, and less recall.",
    )
    replay_near_miss_share: float = Field(default=0.55, ge=0, le=1, description="The same in `batch_replay`.")
    lowest_adapted: float = Field(
        default=1 / 3,
        ge=0,
        lt=1,
        description="Share of the model's blocks, from the input up, that an update leaves alone.",
    )
    trained: Trained = Field(default=Trained(), description="Which weights change.")
    rank: int = Field(default=32, ge=1, description="Rank of the LoRA factors.")
    learning_rate: float = Field(default=1.2e-2, gt=0, description="Peak learning rate of AdamW on the LoRA factors.")
    up_rate_ratio: float = Field(
        default=1.0, gt=0, description="Learning rate of B over that of A (LoRA+, arXiv 2402.12354)."
    )
    anchor_weight: float = Field(default=1.0, ge=0, description="lambda_anchor in the objective.")
    layer_weight: float = Field(
        default=5.0,
        ge=0,
        description="lambda_layers: weight of what a change adds to layers' outputs on unrelated sentences, as a share "
        "of what they are (docs/adr/0026); 0 leaves it out.",
    )
    replay_weight: float = Field(default=2.0, ge=0, description="lambda_replay in the objective.")
    stop_kl_nats: float = Field(
        default=0.01,
        ge=0,
        description="Training cools down and ends once the KL (nats a token), held-out and replayed, is below this.",
    )
    snapshot_every: int = Field(
        default=20,
        ge=0,
        description="Versions after which the sums of one are stored, so that opening a later one reads fewer deltas; "
        "0 never.",
    )
    budget_seconds: float | None = Field(
        default=None,
        gt=0,
        description="Most seconds of an attempt, from its batch to its verdict: training cools down in time for the "
        "gate, after nine steps at least. None: as long as its steps take.",
    )
    retry: RetrySettings = Field(default=RetrySettings(), description="What is tried otherwise after a refusal.")
    teacher: TeacherSettings = Field(
        default=TeacherSettings(), description="Who teaches, and how much of an experience is read at once."
    )
    lease_seconds: float = Field(
        default=120.0, gt=0, le=3600, description="Life of the updater lease; renewed between the stages of an update."
    )
    seed: int = Field(default=0, description="Seed of sampling, anchors, replay and training.")


class GateSettings(BaseModel):
    """What a version must show, on held-out target sentences and folded weights, before it may serve."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_efficacy: float = Field(
        default=0.6, description="Least share of held-out target sentences answered exactly as the teacher would."
    )
    max_false_recall: float = Field(
        default=0.3,
        description="Largest share of held-out near misses answered otherwise than the teacher would, one forgiven.",
    )
    max_retention_loss: float = Field(
        default=0.2, description="Largest fall of the share of earlier held-out sentences that are exact."
    )
    max_reading_loss: float = Field(
        default=0.25, description="Largest fall of the share of right answers read from notes in the prompt."
    )
    max_drift_nats: float = Field(
        default=0.25, description="Largest mean KL (nats a token) on anchors against the base model."
    )
