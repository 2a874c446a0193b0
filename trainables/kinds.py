"""Types of keys of users' training configs: what is trained with, and what a user's script does with the rest."""

from typing import Annotated

from pydantic import Field

from spaces.schema import Real, Script, Whole

Count = Annotated[Whole, Field(ge=1), Script("your script ends with it, or trains nothing")]
Natural = Annotated[Whole, Field(ge=0), Script("your script ends with it, or takes it for none; write 0 for none")]
Seed = Annotated[Whole, Field(ge=0), Script("your script ends with it, or draws another each time; write a number")]
Workers = Annotated[Whole, Field(ge=0), Script("torch's DataLoader refuses it in your script, too")]
Steps = Annotated[Whole, Field(ge=0), Script("your script takes it for none; write 0, which means the same")]
"""Of a warmup or a freeze, which is over from the start."""
Share = Annotated[Real, Field(ge=0, le=1), Script("it is a share: your script ends with it, or takes it for 0 or 1")]
Split = Annotated[
    Real, Field(gt=0, lt=1), Script("your script ends with it, or has nothing to train or to validate on")
]
Dropout = Annotated[
    Real, Field(ge=0, lt=1), Script("torch refuses it in your script, too; at 1 nothing would get through the layer")
]
Rate = Annotated[
    Real,
    Field(gt=0, le=1),
    Script("your script learns nothing at a rate of 0, ends below it and diverges above 1"),
]
LowRate = Annotated[Real, Field(ge=0), Script("your script's rate would fall below 0, where training raises the loss")]
Decay = Annotated[Real, Field(ge=0), Script("torch's optimiser refuses it in your script, too")]
Beta = Annotated[Real, Field(ge=0, lt=1), Script("torch's optimiser refuses it in your script, too")]
MaybeClip = Annotated[Real, Field(ge=0), Script("your script does not clip then; write 0, which means the same")]
"""Of the global L2 norm of the gradient; 0: no clipping."""
Clip = Annotated[
    Real,
    Field(gt=0),
    Script("your script would learn nothing at 0, and raise the loss below it; a large value does not clip"),
]
Spread = Annotated[
    Real, Field(ge=0), Script("your script ends with it, or draws the same noise as without the sign; write it without")
]
Weight = Annotated[Real, Field(ge=0, le=1000), Script("your script would train to raise this loss below 0")]
NotNegative = Annotated[Real, Field(ge=0)]
Positive = Annotated[Real, Field(gt=0), Script("your script divides by it or computes with it to nan, or ends")]
