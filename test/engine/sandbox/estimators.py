"""Fits models of many kinds, reads each from its pickle as a worker does, confined, and prints those that are refused or answer otherwise."""

import io
import json
import pickle
import sys
import warnings

import numpy as np
from sklearn import cluster, ensemble, isotonic, linear_model, naive_bayes, neighbors, neural_network, pipeline, preprocessing, svm, tree
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import RFE, SelectFromModel, SelectKBest, f_classif
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import SimpleImputer
from sklearn.metrics import make_scorer, f1_score
from sklearn.model_selection import GridSearchCV

sys.path.insert(0, sys.argv[1])
import confinement
import unpickling

sys.path.pop(0)
warnings.filterwarnings("ignore")
X, y = load_iris(return_X_y=True)
scaled = preprocessing.StandardScaler()
models = [
    linear_model.LogisticRegression(),
    linear_model.Ridge(),
    linear_model.SGDClassifier(random_state=0),
    tree.DecisionTreeClassifier(),
    ensemble.RandomForestRegressor(4),
    ensemble.GradientBoostingClassifier(n_estimators=4),
    ensemble.HistGradientBoostingClassifier(max_iter=4),
    ensemble.IsolationForest(n_estimators=4),
    ensemble.VotingClassifier([("a", naive_bayes.GaussianNB()), ("b", tree.DecisionTreeClassifier())]),
    svm.SVC(probability=True),
    neighbors.KNeighborsClassifier(algorithm="kd_tree"),
    neighbors.KNeighborsClassifier(algorithm="brute"),
    cluster.KMeans(3, n_init=1),
    neural_network.MLPClassifier((4,), max_iter=20),
    GaussianProcessRegressor(),
    CalibratedClassifierCV(naive_bayes.GaussianNB()),
    GridSearchCV(tree.DecisionTreeClassifier(), {"max_depth": [1, 2]}, scoring=make_scorer(f1_score, average="macro")),
    pipeline.make_pipeline(SimpleImputer(), SelectKBest(f_classif, k=2), PCA(2), scaled, linear_model.LogisticRegression()),
    pipeline.make_pipeline(SelectFromModel(tree.DecisionTreeClassifier(random_state=0)), linear_model.LogisticRegression()),
    RFE(linear_model.LogisticRegression(), n_features_to_select=2, importance_getter="coef_"),
    pipeline.make_pipeline(preprocessing.SplineTransformer(), preprocessing.FunctionTransformer(np.tanh), linear_model.Lasso()),
]
files = []
for model in models:
    model.fit(X, y)
    files.append((str(model), X, model.predict(X), io.BytesIO(pickle.dumps(model))))
rising = isotonic.IsotonicRegression().fit(X[:, 0], y)
files.append(("IsotonicRegression", X[:, 0], rising.predict(X[:, 0]), io.BytesIO(pickle.dumps(rising))))
texts = np.array(["good day", "bad day", "good night", "bad night"] * 5, dtype=object)
said = pipeline.make_pipeline(TfidfVectorizer(), linear_model.LogisticRegression()).fit(texts, ["yes", "no"] * 10)
files.append(("TfidfVectorizer", texts, said.predict(texts), io.BytesIO(pickle.dumps(said))))

confinement.confine(1 << 30)
wrong = {}
for name, question, answer, file in files:
    try:
        if not np.array_equal(unpickling.read_pickle(file).predict(question), answer):
            wrong[name] = "other answers"
    except Exception as error:
        wrong[name] = str(error)
print(json.dumps({"read": len(files), "wrong": wrong}))
